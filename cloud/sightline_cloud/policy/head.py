"""What the bundle's sensitive head says of a query, read as the policy wants it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sightline_cloud.policy.document import HeadRule
from sightline_shared.bundle import Bundle
from sightline_shared.errors import BundleCorrupt
from sightline_shared.heads import Sensitive

Certainty = Literal["sensitive", "unsure", "open"]


def usable_head(bundle: Bundle, rule: HeadRule) -> Sensitive | None:
    """Return the bundle's sensitive head; None of a bundle without one, where the policy lets its queries through.

    Raises BundleCorrupt for a file that cannot be read, a head that the policy needs and is not there, and one that has not
    shown that it misses as little as the policy asks.
    """
    head = bundle.heads.sensitive if bundle.heads else None
    if head is None:
        if rule.without_head == "open":
            return None
        raise BundleCorrupt(
            f"bundle {bundle.label}: expected a sensitive head, got none.",
            hint="Export it with sensitive photographs, or say head.without_head = 'open' in a reviewed policy.toml.",
        )
    shown = missed_at_most(bundle)
    if shown > rule.miss_rate_upper:
        raise BundleCorrupt(
            f"bundle {bundle.label}: expected a sensitive head that misses at most {rule.miss_rate_upper:g} (upper bound), "
            f"got {shown:g}.",
            hint="Train it on more sensitive photographs, or review head.miss_rate_upper in policy.toml.",
        )
    return head


def missed_at_most(bundle: Bundle, kind: str = "all") -> float:
    """Return the upper end of the interval of the share that the export saw missed, subjects left out of training.

    Of one `kind` of subject, or of all together; 1.0 where the manifest does not say.
    """
    try:
        shown = float(bundle.manifest.metrics[f"sensitive.missed.{kind}"]["interval"][1])
    except (KeyError, TypeError, ValueError, IndexError):
        return 1.0
    return shown if 0 <= shown <= 1 else 1.0


def seen_in_codes(head: Sensitive, vectors: NDArray[np.float32], rule: HeadRule) -> Certainty:
    """Return what the decoded embeddings `(codes, d) float32` look like: one sensitive crop makes the query sensitive.

    Raises BundleCorrupt for scores that are not numbers.
    """
    scores = head.scores(vectors)
    if not len(scores) or not np.isfinite(scores).all():
        raise BundleCorrupt(f"sensitive head: expected finite scores of 1 or more codes, got {len(scores)}.")
    most = float(scores.max())
    if most >= head.sensitive_above:
        return "sensitive"
    return "unsure" if most >= lowered(head.unsure_above, rule.code_margin) else "open"


def seen_by_device(head: Sensitive | None, scores: Sequence[float]) -> Certainty:
    """Return what the device's scores mean: only a device that found the subject sensitive sends any."""
    if not scores:
        return "open"
    return "sensitive" if head and any(score >= head.sensitive_above for score in scores) else "unsure"


def lowered(probability: float, logits: float) -> float:
    """Return the probability so many logits below `probability`."""
    if not 0 < probability < 1:
        return probability
    return 1 / (1 + math.exp(logits - math.log(probability / (1 - probability))))
