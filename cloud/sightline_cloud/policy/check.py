"""Whether a policy can be carried out: by these bundles, with these settings, today."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

from sightline_cloud.policy.document import Policy
from sightline_cloud.policy.head import lowered, missed_at_most, usable_head
from sightline_cloud.policy.read import SHIPPED
from sightline_cloud.policy.restricted import SOURCE
from sightline_shared.bundle import Bundle
from sightline_shared.errors import BundleError


def check(
    policy: Policy, bundles: Sequence[Bundle], filter_keys: Sequence[str], today: datetime.date
) -> dict[str, Any]:
    """Return the policy's table with "ok", the "problems" that make it false, and "notes" that a reviewer should know."""
    problems, notes, rows = [], [], []
    if policy.overdue(today):
        problems.append(f"the review was due by {policy.review_by}")
    if policy.allowed_sources and SOURCE not in filter_keys:
        problems.append(f"no source can answer: '{SOURCE}' is not among filter_keys in settings.toml")
    if policy.source == SHIPPED:
        notes.append("this is the service's own policy; copy it to the data folder and put your name to it")
    if policy.head.without_head == "open":
        notes.append("queries of a bundle without a sensitive head are answered like any other (head.without_head)")
    for bundle in bundles:
        row, trouble = _bundle(bundle, policy)
        rows.append(row)
        if trouble:
            problems.append(f"{trouble} Every query of it would be answered restricted")
        else:
            notes += _unproven(bundle, policy)
    return {
        "ok": not problems,
        "source": policy.source,
        "version": policy.version,
        "owner": policy.owner,
        "reviewed": policy.reviewed.isoformat(),
        "review_by": policy.review_by.isoformat(),
        "allowed_sources": list(policy.allowed_sources),
        "languages": sorted(policy.disclaimers),
        "classes": [
            {"name": each.name, "head_kinds": list(each.head_kinds), "terms": len(each.needles)}
            for each in policy.classes
        ],
        "bundles": rows,
        "problems": problems,
        "notes": notes,
    }


def _bundle(bundle: Bundle, policy: Policy) -> tuple[dict[str, Any], str]:
    """Return what the bundle's head does under the policy, and why it cannot serve ("" when it can)."""
    try:
        head = usable_head(bundle, policy.head)
    except BundleError as error:
        return {"label": bundle.label, "head": "cannot be used"}, error.message
    if head is None:
        return {"label": bundle.label, "head": "none; its queries are answered like any other"}, ""
    row = {
        "label": bundle.label,
        "head_kinds": list(head.kinds),
        "threshold": round(head.unsure_above, 4),
        "threshold_on_codes": round(lowered(head.unsure_above, policy.head.code_margin), 4),
        "missed_at_most": missed_at_most(bundle),
    }
    return row, ""


def _unproven(bundle: Bundle, policy: Policy) -> list[str]:
    """Return a note on each kind of the head that has too few photographs to show the policy's miss rate by itself."""
    shown = bundle.heads.sensitive if bundle.heads else None
    bounds = {kind: missed_at_most(bundle, kind) for kind in (shown.kinds if shown else ())}
    return [
        f"{bundle.label}: of {kind} alone the export shows no more than that at most {bound:.1%} are missed"
        for kind, bound in bounds.items()
        if bound > policy.head.miss_rate_upper
    ]
