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
