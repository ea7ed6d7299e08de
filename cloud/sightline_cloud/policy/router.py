"""Routing: whether a query may be answered like a product. Whatever goes wrong here, the answer is no."""

from __future__ import annotations

import datetime
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline_cloud.live import LiveGeneration
from sightline_cloud.logs import log_failure, warn
from sightline_cloud.policy.document import Policy
from sightline_cloud.policy.head import Certainty, seen_by_device, seen_in_codes, usable_head
from sightline_cloud.policy.read import find_policy
from sightline_cloud.policy.terms import holds, plain
from sightline_shared.errors import ConfigInvalid, SightlineError

NOT_APPLIED = "the policy could not be applied"
NONE = "none"
PICTURE: dict[Certainty, str] = {
    "sensitive": "the picture looks like a sensitive subject",
    "unsure": "the picture may show a sensitive subject",
}
DEVICE = "the device takes the picture for a sensitive subject"
TEXT = "the text names a sensitive subject"


@dataclass(frozen=True)
class Route:
    """How a query is to be answered: `restricted`, or like a product.

    `classes` are the policy's names of what the signals may have seen, none when it is not known; `reasons` are for whoever
    asked and say it in general words.
    """

    restricted: bool
    certainty: Certainty
    classes: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()


OPEN = Route(restricted=False, certainty="open")
FAILED = Route(restricted=True, certainty="unsure", reasons=(NOT_APPLIED,))


class PolicyRouter:
    """Applies one policy; without one (`trouble` says why) every query is restricted. Safe between threads."""

    def __init__(self, policy: Policy | None, trouble: str = "") -> None:
        self.policy = policy
        self._trouble = trouble
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        # What went wrong with each bundle, by its label.
        self._failing: dict[str, str] = {}

    @classmethod
    def open(cls, data_dir: Path) -> PolicyRouter:
        """Return the router of a data folder. Raises nothing: a policy that cannot be read restricts, and is in the log."""
        try:
            policy = find_policy(data_dir)
        except Exception as error:
            log_failure("policy_unusable", error, effect="every query is answered restricted")
            return cls(None, error.message if isinstance(error, SightlineError) else repr(error))
        if policy.overdue(_today()):
            warn(
                "policy_overdue",
                policy=policy.version,
                source=policy.source,
                owner=policy.owner,
                review_by=policy.review_by.isoformat(),
            )
        return cls(policy)

    @property
    def version(self) -> str:
        """The policy that is applied, for answers and logs; "none" where none is."""
        return self.policy.version if self.policy else NONE

    @property
    def trouble(self) -> str:
        """Why queries are restricted that perhaps need not be; "" when all is well."""
        with self._lock:
            failing = [f"{label}: {why}" for label, why in self._failing.items()]
        return "; ".join([*filter(None, [self._trouble]), *failing])

    def route(
        self, live: LiveGeneration, vectors: NDArray[np.float32], device_scores: Sequence[float] = (), text: str = ""
    ) -> Route:
        """Return the route of a query with the decoded embeddings `(codes, d) float32`. Raises nothing.

        `device_scores` are the device's own, which only a device sends that found the subject sensitive. A bundle's trouble
        is in the log once, not once a query.
        """
        label = live.bundle.label
        try:
            route = self._routed(live, vectors, device_scores, text)
            why = ""
        except Exception as error:
            route, why = FAILED, error.message if isinstance(error, SightlineError) else repr(error)
            if self._failing.get(label) != why:
                log_failure("policy_not_applied", error, bundle=label, policy=self.version)
        with self._lock:
            self._counts["failed" if why else route.certainty] += 1
            if why:
                self._failing[label] = why
            else:
                self._failing.pop(label, None)
        return route

    def stats(self) -> dict[str, Any]:
        """Return the policy's name, whether its review is overdue, and how many queries took which route."""
        with self._lock:
            counts = {name: self._counts[name] for name in ("open", "unsure", "sensitive", "failed")}
        overdue = self.policy is not None and self.policy.overdue(_today())
        return {"version": self.version, "overdue": overdue, "trouble": self.trouble, **counts}

    def _routed(
        self, live: LiveGeneration, vectors: NDArray[np.float32], device_scores: Sequence[float], text: str
    ) -> Route:
        policy = self.policy
        if policy is None:
            raise ConfigInvalid(self._trouble)
        head = usable_head(live.bundle, policy.head)
        seen: Certainty = seen_in_codes(head, vectors, policy.head) if head else "open"
        told = seen_by_device(head, device_scores)
        words = plain(text) if text else ""
        named = tuple(each.name for each in policy.classes if holds(words, each.needles)) if words else ()
        if seen == told == "open" and not named:
            return OPEN
        kinds = policy.classes_of_kinds(head.kinds) if head and (seen, told) != ("open", "open") else ()
        return Route(
            restricted=True,
            certainty="sensitive" if named or "sensitive" in (seen, told) else "unsure",
            classes=tuple(dict.fromkeys((*named, *kinds))),
            reasons=_reasons(seen, told, bool(named)),
        )


def _reasons(seen: Certainty, told: Certainty, named: bool) -> tuple[str, ...]:
    """Return which signals it was, in words that name nothing they saw: no condition, no class."""
    reasons = [PICTURE[seen]] if seen in PICTURE else []
    reasons += [DEVICE] if told != "open" else []
    reasons += [TEXT] if named else []
    return tuple(reasons)


def _today() -> datetime.date:
    return datetime.datetime.now(datetime.UTC).date()
