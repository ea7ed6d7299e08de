"""A small catalogue, exact, over any number of shards."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from support.faulty_shards import FaultyShards, exact_shards

from sightline_cloud.shards.local import LocalShardPool
from sightline_cloud.shards.pool import Ask
from sightline_shared.budget import Budget
from sightline_shared.where import Where


def unit(rows: int, dim: int = 8, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(rows, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture
def vectors() -> np.ndarray:
    return unit(400)


@pytest.fixture
def ask() -> Callable[..., Ask]:
    def of(queries: int = 3, k: int = 10, deadline_ms: float = 10_000) -> Ask:
        return Ask("shop", unit(queries, seed=1), k, Where(), Budget(deadline_ms))

    return of


@pytest.fixture
def faulty(vectors: np.ndarray) -> Iterator[Callable[..., FaultyShards]]:
    """Makes pools of exact shards that can be told to fail."""
    pools = []

    def make(shards: int, replicas: int = 1) -> FaultyShards:
        exact = exact_shards(vectors, shards)
        pools.append(FaultyShards(LocalShardPool([[shard] * replicas for shard in exact], threads=2)))
        return pools[-1]

    yield make
    for pool in pools:
        pool.close()
