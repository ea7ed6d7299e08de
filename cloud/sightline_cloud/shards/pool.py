"""The seam: shards that can be asked, each in one or more replicas, in this process or elsewhere."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sightline_shared.budget import Budget
from sightline_shared.where import Where

# Of a query's time, what is kept free for whoever asked, to merge, read the matches and pack: a tenth, at least so much.
# A shard that hangs uses up all that it is given, and threads that wake up late on a busy machine need their time too.
FINISH_MS = 5.0
FINISH_SHARE = 0.1
# What fills places without an item.
NO_ITEM = -1
# Stored vectors are of unit length to three digits.
MAX_COSINE = 1.01


@dataclass(frozen=True, eq=False)
class Ask:
    """What every shard is asked: the k nearest items of `tenant` to each of `queries` `(q, d) float32`, best query first.

    `budget` is the whole query's; `left_ms` is what is left of it for the search. `effort`: the share of lists and of
    re-ranked candidates that a large index looks at, less of both under pressure.
    """

    tenant: str
    queries: NDArray[np.float32]
    k: int
    where: Where
    budget: Budget
    effort: float = 1.0

    @property
    def left_ms(self) -> float:
        return self.budget.left_ms - max(FINISH_MS, FINISH_SHARE * (self.budget.total_ms or 0.0))


@dataclass(frozen=True, eq=False)
class Found:
    """Cosines `(s, k) float32` and pks `(s, k) int64` for the first s queries, those that fit into the deadline.

    Best first; pk -1 with cosine -inf fills places without an item.
    """

    cosines: NDArray[np.float32]
    pks: NDArray[np.int64]

    @property
    def searched(self) -> int:
        return len(self.pks)


def fault(found: object, ask: Ask) -> str | None:
    """Return what is wrong with a shard's answer, which may come from another machine; None when it can be used.

    What it says of the catalogue is not looked at here: whose its pks are, and whether there are such items, is read there.
    """
    if not isinstance(found, Found):
        return f"Found, got {type(found).__name__}"
    cosines, pks = found.cosines, found.pks
    if getattr(cosines, "dtype", None) != np.float32 or getattr(pks, "dtype", None) != np.int64:
        kinds = [str(getattr(each, "dtype", type(each).__name__)) for each in (cosines, pks)]
        return f"cosines of float32 and pks of int64, got {' and '.join(kinds)}"
    if not (cosines.shape == pks.shape == (len(pks), ask.k) and 1 <= len(pks) <= len(ask.queries)):
        return f"1 to {len(ask.queries)} rows of {ask.k} cosines and pks, got {cosines.shape} and {pks.shape}"
    empty = pks == NO_ITEM
    # Written so that NaN fails it.
    if not (np.abs(cosines[~empty]) <= MAX_COSINE).all() or (pks < NO_ITEM).any():
        return f"cosines of at most {MAX_COSINE} and pks of at least {NO_ITEM}, got others"
    return None if np.isneginf(cosines[empty]).all() else "-inf where there is no item, got others"


class ShardPool(Protocol):
    """Shards by number, their replicas by number. Safe to use from several threads."""

    @property
    def replicas(self) -> tuple[int, ...]:
        """How many replicas each shard has, at least one."""
        ...

    def search(self, shard: int, replica: int, ask: Ask) -> Found:
        """Search here and now, in the caller's thread; raises what the shard raises."""
        ...

    def submit(self, shard: int, replica: int, ask: Ask) -> Future[Found]:
        """Start a search and return at once; cancelling the future drops one that still waits for its turn."""
        ...

    def close(self) -> None:
        """Drop what waits, and return when what runs has ended."""
        ...
