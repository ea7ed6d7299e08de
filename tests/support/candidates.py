"""Ranking candidates with real codes, and how alike they are by the obvious formula."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sightline_cloud.rank.candidate import Candidate
from sightline_cloud.rank.context import Context
from support.galleries import clustered, codec_of

CODEC = codec_of()
NOW_S = 1_790_000_000.0
# Random draws have pairs of any closeness, and this seed's first candidates some that are nearly the same.
VECTORS = clustered(400, seed=5)
CODES = CODEC.encode(VECTORS)


def found(
    count: int, *, seed: int = 0, metadata: Sequence[Mapping[str, Any]] = (), scores: Sequence[float] = ()
) -> list[Candidate]:
    """`count` candidates as a search gives them: best first, scored against a query near the first; pks from 1."""
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(VECTORS))[:count]
    query = VECTORS[rng.integers(len(VECTORS))]
    cosines = scores or (VECTORS[rows] @ query).tolist()
    ranked = sorted(zip(cosines, rows.tolist(), strict=True), key=lambda pair: -pair[0])
    filled = [*metadata, *[{}] * (count - len(metadata))]
    return [
        Candidate(1 + place, f"item/{row}", score, 0, filled[place], CODES[row].tobytes())
        for place, (score, row) in enumerate(ranked)
    ]


def context(candidates: Sequence[Candidate], k: int = 10, **given: Any) -> Context:
    return Context(candidates, k, CODEC, now_s=NOW_S, **given)


def likeness(one: Candidate, other: Candidate) -> float:
    """The cosine of two items' decoded codes, by way of the embedding space."""
    a, b = CODEC.decode(np.stack([np.frombuffer(each.code, np.uint8) for each in (one, other)]))
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def pks(candidates: Sequence[Candidate]) -> list[int]:
    return [candidate.pk for candidate in candidates]
