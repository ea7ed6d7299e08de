"""Whom to ask and when an answer is late, without any shards."""

import numpy as np
import pytest

from sightline_cloud.shards.load import MIN_LATE_MS, MIN_RECENT, RECENT, ShardLoad


def feed(load: ShardLoad, replica: int, times_ms) -> None:
    others = {each for each in range(2) if each != replica}
    for ms in times_ms:
        assert load.begin(others) == replica
        load.end(replica, ms)


def test_the_less_busy_of_two_is_asked() -> None:
    load = ShardLoad(2)
    first = load.begin()
    assert load.begin() == 1 - first
    load.end(first, 1.0)
    assert load.begin() == first


def test_both_are_asked_when_both_are_idle() -> None:
    load, asked = ShardLoad(2), set()
    for _ in range(100):
        replica = load.begin()
        asked.add(replica)
        load.end(replica, 1.0)
    assert asked == {0, 1}


def test_a_busy_replica_gets_nothing_more_while_the_others_are_idle() -> None:
    load = ShardLoad(5)
    load.begin({0, 1, 2, 3})  # 4 is busy for ever
    for _ in range(200):
        replica = load.begin()
        assert replica != 4
        load.end(replica, 1.0)


def test_one_that_was_tried_is_not_asked_again_and_after_the_last_there_is_none() -> None:
    load = ShardLoad(3)
    tried = []
    while (replica := load.begin(tried)) is not None:
        tried.append(replica)
    assert sorted(tried) == [0, 1, 2]


def test_late_is_the_recent_95th_percentile_once_there_is_one() -> None:
    load = ShardLoad(2)
    feed(load, 0, [10.0] * (MIN_RECENT - 1))
    assert load.late_after_ms == np.inf and load.stats()["late_after_ms"] is None
    times = np.random.default_rng(0).permutation(np.arange(RECENT) + 100.0)
    feed(load, 0, times)
    assert np.mean(times <= load.late_after_ms) == pytest.approx(0.95, abs=0.02)


def test_a_slow_replica_does_not_make_its_own_slowness_the_measure() -> None:
    load = ShardLoad(2)
    feed(load, 0, [500.0] * RECENT)
    feed(load, 1, [5.0] * RECENT)
    assert load.late_after_ms == 5.0


def test_what_took_long_is_forgotten_when_it_is_no_longer_so() -> None:
    load = ShardLoad(2)
    feed(load, 0, [500.0] * RECENT)
    assert load.late_after_ms == 500.0
    feed(load, 0, [5.0] * RECENT)
    assert load.late_after_ms == 5.0


def test_the_schedulers_noise_is_not_lateness_and_failures_are_not_times() -> None:
    load = ShardLoad(2)
    feed(load, 0, [0.01] * RECENT)
    assert load.late_after_ms == MIN_LATE_MS
    feed(load, 1, [None] * RECENT)
    assert load.late_after_ms == MIN_LATE_MS and load.stats()["open"] == 0
