"""The merge: several tiers' answers become one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sightline_cloud.index.base import Ids, Vectors, nothing


def merge(parts: Sequence[tuple[Vectors, Ids]], k: int) -> tuple[Vectors, Ids]:
    """Return the k best of `parts`, each cosines and pks `(q, n)`, best first; of a pk that comes twice the better one.

    Equal cosines are in ascending order of pk, so that the same tiers always give the same answer.
    """
    cosines, pks = (np.concatenate(each, axis=1) for each in zip(*parts, strict=True))
    best = nothing(len(pks), k)
    for row in range(len(pks)):
        order = np.lexsort((pks[row], -cosines[row]))
        ranked = pks[row].take(order)
        # Seldom, and asked for first: np.unique takes longer than all the rest.
        if len(set(ranked.tolist())) < len(ranked):
            # What comes first of a pk is its best; np.unique names that one.
            first = np.sort(np.unique(ranked, return_index=True)[1])
            order = order[first[ranked[first] >= 0]]
        kept = order[:k]
        best[0][row, : len(kept)], best[1][row, : len(kept)] = cosines[row].take(kept), pks[row].take(kept)
    return best
