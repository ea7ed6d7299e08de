"""The degrade ladder: it climbs one step at a time, refuses before it queues, and comes back without flapping."""

import pytest

from sightline_cloud.pressure import DOWN_AFTER, SHORT_K, UP_AFTER, Level, Pressure
from sightline_shared.errors import ServiceBusy


def interval(pressure: Pressure, *, wait_ms: float, queries: int = 5, took_ms: float = 2.0, missed: int = 0) -> Level:
    """One interval in which every query waited at least `wait_ms`."""
    for number in range(queries):
        pressure.admit(1e9)
        pressure.started(wait_ms + number)
        pressure.finished(took_ms, missed=number < missed)
    return pressure.tick()


def test_a_quiet_service_stays_at_the_top() -> None:
    pressure = Pressure(2)
    assert {interval(pressure, wait_ms=1.0) for _ in range(100)} == {Level.FULL}
    assert {pressure.tick() for _ in range(100)} == {Level.FULL}  # nobody asks at all


@pytest.mark.parametrize("why", ["wait", "missed", "late"])
def test_each_signal_alone_goes_down_the_ladder_step_by_step(why: str) -> None:
    pressure = Pressure(2)
    levels = []
    for _ in range(UP_AFTER * len(Level)):
        if why == "late":
            levels.append(pressure.tick(late_ms=200))
        else:
            levels.append(interval(pressure, wait_ms=50 if why == "wait" else 0, missed=1 if why == "missed" else 0))
    assert sorted(set(levels)) == list(Level)[: len(set(levels))] and levels == sorted(levels)
    assert levels[-1] is Level.SHED


def test_one_bad_interval_is_no_pressure_and_a_burst_that_some_wait_for_is_none_either() -> None:
    pressure = Pressure(2)
    for _ in range(20):
        assert interval(pressure, wait_ms=50) is Level.FULL
        assert interval(pressure, wait_ms=0) is Level.FULL  # the shortest wait is what counts


def test_it_comes_back_by_itself_one_step_at_a_time() -> None:
    pressure = Pressure(2)
    while interval(pressure, wait_ms=50) < Level.QUARTER_FAN_OUT:
        pass
    levels = [interval(pressure, wait_ms=0.1) for _ in range(4 * DOWN_AFTER)]
    assert levels[-1] is Level.FULL and levels == sorted(levels, reverse=True)
    assert [levels.count(level) for level in (Level.HALF_FAN_OUT, Level.NO_DIVERSITY)] == [DOWN_AFTER] * 2


def test_a_load_at_the_edge_does_not_make_it_flap() -> None:
    """At the top the load is too much, one step down it is calm: each return is a mistake, and they become rare."""
    steps: list[tuple[Level, Level]] = []
    pressure = Pressure(2, moved=lambda old, new, why: steps.append((old, new)))
    for _ in range(2000):  # 200 s
        interval(pressure, wait_ms=50 if pressure.level is Level.FULL else 0.1)
    assert len(steps) <= 2 * (2000 // 160 + 6)
    late = Pressure(2, moved=lambda old, new, why: steps.append((old, new)))
    steps.clear()
    for turn in range(400):
        interval(late, wait_ms=50 if turn < 4 else 0.1)
    assert late.level is Level.FULL and len(steps) == 4  # two up, two down


def test_a_query_that_would_wait_too_long_is_refused_before_it_queues() -> None:
    pressure = Pressure(2)
    for _ in range(200):
        interval(pressure, wait_ms=0.1, took_ms=10)  # a query takes 10 ms
    for _ in range(2):
        pressure.admit(200)
        pressure.started(0)
    admitted = 0
    with pytest.raises(ServiceBusy, match="this one has 200 ms left") as refused:
        for _ in range(1000):
            pressure.admit(200)
            admitted += 1
    assert 15 <= admitted <= 25  # 100 ms, half of its time, at 2 x 10 ms
    assert refused.value.retry_after_s >= 1 and pressure.stats()["shed"] == 1
    pressure.admit(10_000)  # one with more time may wait


def test_the_last_step_refuses_whatever_would_wait() -> None:
    pressure = Pressure(2)
    while interval(pressure, wait_ms=50, took_ms=10) < Level.SHED:
        pass
    pressure.admit(1000)  # nothing waits yet
    for _ in range(2):
        pressure.admit(1000)
        pressure.started(0)
    with pytest.raises(ServiceBusy):
        for _ in range(5):
            pressure.admit(1000)


def test_threads_that_hang_are_seen_although_nothing_starts() -> None:
    pressure = Pressure(1)
    for _ in range(200):
        interval(pressure, wait_ms=0.1, took_ms=10)
    pressure.admit(1e9)
    pressure.started(0)
    for _ in range(5):
        pressure.admit(1e9)
    pressure.tick()  # the interval in which one started
    assert [pressure.tick() for _ in range(UP_AFTER)][-1] is Level.NO_EXTRAS


def test_what_was_admitted_is_counted_out_again() -> None:
    pressure = Pressure(2)
    for _ in range(10):
        pressure.admit(100)
    for _ in range(4):
        pressure.dropped()
    for _ in range(6):
        pressure.started(1.0)
    for _ in range(6):
        pressure.finished(1.0, missed=False)
    assert pressure.stats()["waiting"] == pressure.stats()["running"] == 0


def test_each_step_says_what_it_leaves_out() -> None:
    assert [level.effort for level in Level] == [1, 1, 1, 0.5, 0.25, 0.25, 0.25]
    assert [level.short(20) for level in Level] == [20] * 5 + [SHORT_K] * 2
    assert Level.SHED.short(5) == 5


def test_it_goes_no_further_than_it_may() -> None:
    pressure = Pressure(2, at_most=Level.NO_DIVERSITY)
    assert {interval(pressure, wait_ms=50) for _ in range(50)} == {Level.FULL, Level.NO_EXTRAS, Level.NO_DIVERSITY}
    assert {interval(Pressure(2, at_most=Level.FULL), wait_ms=50) for _ in range(50)} == {Level.FULL}
