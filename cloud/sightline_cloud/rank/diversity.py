"""Maximal marginal relevance: each next item is near the query and unlike those before it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sightline_cloud.rank.candidate import Candidate
from sightline_cloud.rank.context import Context
from sightline_cloud.rank.stages import Cost

Floats = NDArray[np.float32]
# Where a catalogue has several pictures of a product this brings the right one among the first five 3 times more in a
# hundred; where each item has one picture it costs 2 ('sightline bench quality'). So the stage is for those who know.
WEIGHT = 0.9


class Diversity:
    """MMR (Carbonell and Goldstein, SIGIR 1998): the next is the one with the largest
    w relevance - (1 - w) max cosine with those chosen. The most relevant candidate stays first.
    """

    name, cost = "diversity", Cost.VECTORS

    def __init__(self, weight: float = WEIGHT) -> None:
        """`weight` w in [0, 1], the paper's lambda: 1 leaves the order as it is."""
        self._weight = weight

    def apply(self, candidates: Sequence[Candidate], context: Context) -> Sequence[Candidate]:
        """Return k candidates so chosen, then the others in their order."""
        if len(candidates) < 3:  # the first stays, and the second has nothing to compete with
            return candidates
        relevance = np.array([candidate.relevance for candidate in candidates], np.float32)
        chosen = chosen_rows(relevance, context.similarities(candidates), context.k, self._weight)
        rest = sorted(set(range(len(candidates))).difference(chosen))
        return [candidates[row] for row in (*chosen, *rest)]


def chosen_rows(relevance: Floats, similarities: Floats, k: int, weight: float) -> list[int]:
    """Return the rows of k items in the order of MMR; equals in the order of their rows.

    `relevance` `(n,)`, `similarities` `(n, n)`.
    """
    chosen = [int(relevance.argmax())]
    wanted, like = weight * relevance, (1 - weight) * similarities
    wanted[chosen] = -np.inf
    nearest = like[chosen[0]].copy()
    for _ in range(min(k, len(relevance)) - 1):
        row = int((wanted - nearest).argmax())
        chosen.append(row)
        wanted[row] = -np.inf
        np.maximum(nearest, like[row], out=nearest)
    return chosen
