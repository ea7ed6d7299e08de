"""Every ShardPool: one body over the local one and the fault-injecting fake."""

import threading
from collections.abc import Iterator

import numpy as np
import pytest
from support.faulty_shards import FaultyShards, exact_shards

from sightline_cloud.shards.local import LocalShardPool
from sightline_cloud.shards.pool import Ask, ShardPool
from sightline_shared.budget import Budget
from sightline_shared.errors import ConfigInvalid, IndexFailed
from sightline_shared.where import Where


class Broken:
    def search(self, *asked):
        raise IndexFailed("broken on purpose.")


@pytest.fixture(params=["local", "fake"])
def pool(request, vectors) -> Iterator[ShardPool]:
    """Three shards, the second with two replicas, the third broken."""
    first, second, _ = exact_shards(vectors, 3)
    local = LocalShardPool([[first], [second, second], [Broken()]], threads=2)
    pool = local if request.param == "local" else FaultyShards(local)
    yield pool
    pool.close()


def test_it_says_how_many_replicas_each_shard_has(pool) -> None:
    assert pool.replicas == (1, 2, 1)


def test_search_and_submit_find_the_same_in_every_replica(pool, ask, vectors) -> None:
    asked = ask()
    for shard, replicas in enumerate((1, 2)):
        cosines, pks = exact_shards(vectors, 3)[shard].search("shop", asked.queries, asked.k)
        for replica in range(replicas):
            for found in (pool.search(shard, replica, asked), pool.submit(shard, replica, asked).result(10)):
                np.testing.assert_array_equal(found.pks, pks)
                np.testing.assert_array_equal(found.cosines, cosines)
                assert found.searched == 3


def test_an_error_comes_out_of_search_and_out_of_the_future_but_never_out_of_submit(pool, ask) -> None:
    with pytest.raises(IndexFailed, match="broken on purpose"):
        pool.search(2, 0, ask())
    with pytest.raises(IndexFailed, match="broken on purpose"):
        pool.submit(2, 0, ask()).result(10)


def test_a_shard_without_a_replica_is_refused() -> None:
    for wrong in ([], [[]], [[Broken()], []]):
        with pytest.raises(ConfigInvalid, match="at least one replica"):
            LocalShardPool(wrong, threads=1)


class Gated:
    """Waits inside a search until it is let go."""

    def __init__(self, inner) -> None:
        self.inner, self.begun, self.go, self.searches = inner, threading.Event(), threading.Event(), 0

    def search(self, *asked):
        self.searches += 1
        self.begun.set()
        assert self.go.wait(20)
        return self.inner.search(*asked)


def test_a_shard_that_hangs_holds_up_its_own_threads_only_and_what_is_cancelled_never_runs(vectors, ask) -> None:
    hanging, healthy = (Gated(shard) for shard in exact_shards(vectors, 2))
    healthy.go.set()
    pool = LocalShardPool([[hanging], [healthy]], threads=1)
    running = pool.submit(0, 0, ask())
    assert hanging.begun.wait(20)
    waiting = pool.submit(0, 0, ask())
    assert pool.submit(1, 0, ask()).result(20).searched == 3
    assert waiting.cancel() and not running.done()
    hanging.go.set()
    running.result(20)
    pool.close()
    assert hanging.searches == 3  # of the running search's three queries


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.mark.parametrize(("total_ms", "searched"), [(10_000, 5), (100, 5), (77, 4), (58, 3), (55, 2), (1, 1)])
def test_queries_are_searched_while_the_next_one_would_end_in_time_and_the_first_always(
    vectors, ask, total_ms: float, searched: int
) -> None:
    clock, exact = Clock(), exact_shards(vectors, 1)[0]

    class Slow:
        def search(self, *asked):
            clock.seconds += 0.0171
            return exact.search(*asked)

    asked = Ask("shop", ask(5).queries, 4, Where(), Budget(total_ms, clock=clock))
    found = LocalShardPool([[Slow()]], threads=1).search(0, 0, asked)
    assert found.searched == searched
    np.testing.assert_array_equal(found.pks, exact.search("shop", asked.queries, 4)[1][:searched])
