"""Which lists are in RAM: those that queries ask for most, a byte, within the operator's budget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
# A list that is in RAM counts for so much more: two that are asked for alike do not change places at every turn.
STAY = 1.2


@dataclass(frozen=True, eq=False)
class Candidates:
    """One index's lists: `list_bytes` and `hits` by list, and which are in RAM now."""

    list_bytes: NDArray[np.int64]
    hits: NDArray[np.float32]
    hot: Mask


def plan(candidates: Mapping[str, Candidates], budget_bytes: int) -> dict[str, Mask]:
    """Return by name which lists are to be in RAM: never more than `budget_bytes` of them in all.

    Lists of all indexes compete by hits a byte; the first one that does not fit is left out, and smaller ones after it
    are tried.
    """
    if not candidates:
        return {}
    sizes = np.concatenate([each.list_bytes for each in candidates.values()])
    hits = np.concatenate([each.hits * np.where(each.hot, STAY, 1.0) for each in candidates.values()])
    order = np.lexsort((sizes, -hits / np.maximum(sizes, 1)))
    chosen = np.zeros(len(sizes), bool)
    left = max(0, budget_bytes)
    for number, size in zip(order.tolist(), sizes[order].tolist(), strict=True):
        if size <= left:
            chosen[number] = True
            left -= size
    ends = np.cumsum([len(each.list_bytes) for each in candidates.values()])
    return dict(zip(candidates, np.split(chosen, ends[:-1]), strict=True))
