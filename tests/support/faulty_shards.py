"""Shards that fail on demand, around shards that do not; and small exact shards to put inside."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np

from sightline_cloud.catalog.slots import slot_of
from sightline_cloud.shards.placement import owners
from sightline_cloud.shards.pool import Ask, Found, ShardPool
from sightline_shared.errors import IndexFailed
from sightline_shared.where import Where

# Changes what the honest shard found; None: it never answers.
Fault = Callable[[Found], Found] | None


def down(found: Found) -> Found:
    raise IndexFailed("this shard is down.")


def shuffled(found: Found) -> Found:
    order = np.random.default_rng(0).permutation(found.pks.shape[1])
    return Found(found.cosines[:, order], found.pks[:, order])


def doubled(found: Found) -> Found:
    """Each item twice, the second time with a lower cosine: only half of them fit."""
    cosines = np.repeat(found.cosines, 2, axis=1)[:, : found.pks.shape[1]]
    cosines[:, 1::2] -= 0.01
    return Found(cosines, np.repeat(found.pks, 2, axis=1)[:, : found.pks.shape[1]])


def first_query_only(found: Found) -> Found:
    return Found(found.cosines[:1], found.pks[:1])


def misshapen(found: Found) -> Found:
    return Found(found.cosines[:, :-1], found.pks)


late: Fault = None


class FaultyShards:
    """A ShardPool over another; `faults[shard]` befalls all its replicas, or those that `only` names for it."""

    def __init__(self, honest: ShardPool) -> None:
        self._honest = honest
        self.faults: dict[int, Fault] = {}
        self.only: dict[int, int] = {}
        self.unreachable: set[int] = set()
        self.hanging: list[Future[Found]] = []
        self.asked: list[tuple[int, int]] = []
        self.on_cancel: Callable[[], None] = lambda: None

    @property
    def replicas(self) -> tuple[int, ...]:
        return self._honest.replicas

    def search(self, shard: int, replica: int, ask: Ask) -> Found:
        self.asked.append((shard, replica))
        found = self._honest.search(shard, replica, ask)
        if shard in self.faults and self.only.get(shard, replica) == replica:
            fault = self.faults[shard]
            assert fault is not None, "a search in the caller's thread cannot be late in this fake"
            return fault(found)
        return found

    def submit(self, shard: int, replica: int, ask: Ask) -> Future[Found]:
        if shard in self.unreachable:
            raise ConnectionError(f"no way to shard {shard}")
        future: Future[Found] = Future()
        if shard in self.faults and self.faults[shard] is None and self.only.get(shard, replica) == replica:
            self.asked.append((shard, replica))
            self.hanging.append(future)
            future.add_done_callback(lambda done: self.on_cancel() if done.cancelled() else None)
            return future
        try:
            future.set_result(self.search(shard, replica, ask))
        except Exception as error:
            future.set_exception(error)
        return future

    def close(self) -> None:
        self._honest.close()


@dataclass
class ExactShard:
    """Unit vectors `(n, d)` by pk, compared one with all: the obvious search."""

    pks: np.ndarray
    vectors: np.ndarray

    def search(self, tenant: str, queries: np.ndarray, k: int, where: Where | None = None, effort: float = 1.0):
        cosines = np.full((len(queries), k), -np.inf, np.float32)
        pks = np.full((len(queries), k), -1, np.int64)
        for row, query in enumerate(queries):
            all_cosines = self.vectors @ query
            best = np.lexsort((self.pks, -all_cosines))[:k]
            cosines[row, : len(best)], pks[row, : len(best)] = all_cosines[best], self.pks[best]
        return cosines, pks


def exact_shards(vectors: np.ndarray, shards: int) -> Sequence[ExactShard]:
    """`vectors` under pks 0, 1, 2, ..., each in the shard that placement gives its item."""
    pks = np.arange(len(vectors))
    owned = owners(shards)[[slot_of("shop", f"item/{pk}") for pk in pks]] if len(vectors) else pks
    return [ExactShard(pks[owned == shard], vectors[owned == shard]) for shard in range(shards)]
