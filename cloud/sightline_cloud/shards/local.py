"""Shards in this process: one set of indexes each, with threads of its own."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sightline_cloud.shards.pool import Ask, Found
from sightline_shared.errors import ConfigInvalid
from sightline_shared.where import Where


class Searcher(Protocol):
    """What a replica needs of its indexes (TenantIndexes has it)."""

    def search(
        self,
        tenant: str,
        queries: NDArray[np.float32],
        k: int,
        where: Where | None = None,
        effort: float = 1.0,
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]: ...


class LocalShardPool:
    """A ShardPool over indexes in this process: `shards[i][j]` is replica j of shard i.

    Every replica has threads of its own, so that one that hangs holds up nobody else's searches. They start when they
    are first needed: a single shard, which is searched in the caller's thread, needs none.
    """

    def __init__(self, shards: Sequence[Sequence[Searcher]], *, threads: int) -> None:
        """Raises ConfigInvalid for a shard without a replica."""
        if not shards or not all(shards):
            raise ConfigInvalid(f"shards: expected at least one replica each, got {[len(each) for each in shards]}.")
        self._shards = tuple(map(tuple, shards))
        self._executors = [
            [ThreadPoolExecutor(threads, f"shard-{shard}.{replica}") for replica in range(len(replicas))]
            for shard, replicas in enumerate(self._shards)
        ]

    @property
    def replicas(self) -> tuple[int, ...]:
        return tuple(map(len, self._shards))

    def search(self, shard: int, replica: int, ask: Ask) -> Found:
        return search_queries(self._shards[shard][replica], ask)

    def submit(self, shard: int, replica: int, ask: Ask) -> Future[Found]:
        return self._executors[shard][replica].submit(self.search, shard, replica, ask)

    def close(self) -> None:
        for executor in (each for replicas in self._executors for each in replicas):
            executor.shutdown(cancel_futures=True)


def search_queries(searcher: Searcher, ask: Ask) -> Found:
    """Search query by query for as long as the deadline lets the next one end in time; the first is always searched."""
    parts, slowest_ms, before_ms = [], 0.0, ask.left_ms
    for number in range(len(ask.queries)):
        if number and before_ms < slowest_ms:
            break
        parts.append(searcher.search(ask.tenant, ask.queries[number : number + 1], ask.k, ask.where, ask.effort))
        after_ms = ask.left_ms
        slowest_ms, before_ms = max(slowest_ms, before_ms - after_ms), after_ms
    if len(parts) == 1:
        return Found(*parts[0])
    cosines, pks = (np.concatenate(each) for each in zip(*parts, strict=True))
    return Found(cosines, pks)
