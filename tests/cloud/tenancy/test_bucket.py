"""Token buckets, against a clock of the test's own and against the slow, obvious way."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline_cloud.tenancy.bucket import Buckets


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_passes_and_then_the_rate() -> None:
    clock = Clock()
    buckets = Buckets(clock=clock)
    take = lambda: buckets.take("a", 1, per_second=2, capacity=3)  # noqa: E731
    assert [take() for _ in range(5)] == [0, 0, 0, 0.5, 0.5]
    clock.now = 0.5
    assert [take(), take()] == [0, 0.5]
    clock.now = 100
    assert [take() for _ in range(4)] == [0, 0, 0, 0.5], "never more than the capacity, however long it was quiet"


def test_each_has_a_bucket_of_its_own() -> None:
    buckets = Buckets(clock=Clock())
    assert buckets.take("a", 1, per_second=1, capacity=1) == 0 < buckets.take("a", 1, per_second=1, capacity=1)
    assert buckets.take("b", 1, per_second=1, capacity=1) == 0


def test_something_dearer_than_the_bucket_passes_a_full_one_and_is_owed() -> None:
    clock = Clock()
    buckets = Buckets(clock=clock)
    assert buckets.take("a", 10, per_second=1, capacity=4) == 0
    assert buckets.take("a", 1, per_second=1, capacity=4) == 7
    clock.now = 7
    assert buckets.take("a", 1, per_second=1, capacity=4) == 0


def test_waiting_takes_nothing() -> None:
    clock = Clock()
    buckets = Buckets(clock=clock)
    assert buckets.wait("a", per_second=1, capacity=1) == 0 == buckets.wait("a", per_second=1, capacity=1)
    buckets.take("a", 1, per_second=1, capacity=1)
    assert buckets.wait("a", per_second=1, capacity=1) == 1
    assert len(buckets) == 1


def test_memory_is_bounded_and_the_busy_are_remembered() -> None:
    clock = Clock()
    buckets = Buckets(clock=clock, most=100)
    buckets.take("busy", 1, per_second=0.001, capacity=1)
    for number in range(10_000):
        clock.now += 0.001
        buckets.take(number, 1, per_second=1, capacity=1)
        assert buckets.take("busy", 1, per_second=0.001, capacity=1) > 0
    assert len(buckets) == 100


@given(
    st.lists(st.tuples(st.floats(0, 5), st.floats(0.1, 8)), max_size=40),
    st.floats(0.1, 10),
    st.floats(1, 20),
)
def test_no_stretch_of_time_lets_more_through_than_the_capacity_and_the_rate(
    events, rate: float, capacity: float
) -> None:
    clock = Clock()
    buckets = Buckets(clock=clock)
    passed: list[tuple[float, float]] = []
    for pause, tokens in events:
        clock.now += pause
        wait = buckets.take("a", tokens, per_second=rate, capacity=capacity)
        assert wait >= 0
        if wait == 0:
            passed.append((clock.now, tokens))
        else:  # it passes when it was told it would
            probe = Buckets(clock=clock)
            probe._held.update(buckets._held)
            clock.now += wait * (1 + 1e-9) + 1e-9
            assert probe.take("a", tokens, per_second=rate, capacity=capacity) == 0
            clock.now -= wait * (1 + 1e-9) + 1e-9
    for at, (begin, _) in enumerate(passed):
        inside = [tokens for _, tokens in passed[at:-1]]  # all but the last, which may be dearer than what was there
        if inside:
            span = passed[-1][0] - begin
            assert sum(inside) <= capacity + rate * span + max(inside) + 1e-6


def test_a_rate_of_nothing_waits_for_ever() -> None:
    buckets = Buckets(clock=Clock())
    assert buckets.take("a", 1, per_second=0, capacity=1) == 0
    assert buckets.take("a", 1, per_second=0, capacity=1) == math.inf


def test_threads_together_get_no_more_than_one_would() -> None:
    from concurrent.futures import ThreadPoolExecutor

    buckets = Buckets(clock=Clock())
    with ThreadPoolExecutor(8) as pool:
        waits = list(pool.map(lambda _: buckets.take("a", 1, per_second=1, capacity=50), range(400)))
    assert waits.count(0) == pytest.approx(50, abs=0)
