"""The evidence for the first match of a query, from what the search found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline_cloud.rank.candidate import Candidate
from sightline_shared.evidence import Evidence, weigh
from sightline_shared.heads import Heads


def gather(
    first: Candidate,
    candidates: Sequence[Candidate],
    gate_scores: Sequence[float],
    vectors: NDArray[np.float32],
    heads: Heads | None,
) -> Evidence:
    """Return the evidence for `first`, the match that the ranking put first, beside all `candidates` that were found.

    `vectors` `(codes, d) float32` are the decoded codes, `gate_scores` the device's, one a code or none. Of a query with
    several codes the one that found the first match counts, with its own neighbours: the others show other things.
    """
    code = first.code_index
    mine = sorted(
        (candidate for candidate in candidates if candidate.code_index == code),
        key=lambda candidate: (-candidate.score, candidate.pk),
    )
    probabilities = None if heads is None else heads.semantic.probabilities(vectors[code : code + 1])[0]
    return weigh(
        [candidate.score for candidate in mine],
        [_category(candidate.metadata.get("category")) for candidate in mine],
        first=[candidate.pk for candidate in mine].index(first.pk),
        gate=gate_scores[code] if gate_scores else None,
        probabilities=probabilities,
        labels=() if heads is None else heads.semantic.labels,
    )


def _category(value: Any) -> str:
    """Return a category's name, "" for what is none: metadata holds what a catalogue's owner put there."""
    return value if isinstance(value, str) else ""
