"""A radio: what each state costs in each direction, by hand; that it keeps the order; how long it was on."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline_bench.netsim.clock import MS_NS, SECOND_NS
from sightline_bench.netsim.radio import Direction, RadioModel, RadioState, State
from sightline_shared.errors import ConfigInvalid

UP, DOWN = Direction.UP, Direction.DOWN
LTE = RadioModel(
    drx_after_ns=200 * MS_NS,
    drx_cycle_ns=320 * MS_NS,
    idle_after_ns=10 * SECOND_NS,
    promotion_ns=270 * MS_NS,
    paging_cycle_ns=1280 * MS_NS,
)


def used_at_zero(phase_ns: int = 0) -> RadioState:
    return RadioState(LTE, used_ns=0, phase_ns=phase_ns)


@pytest.mark.parametrize(
    ("after_ms", "state"),
    [(0, State.CONNECTED), (200, State.CONNECTED), (201, State.DOZING), (10_000, State.DOZING), (10_001, State.IDLE)],
)
def test_a_radio_dozes_and_then_idles(after_ms: int, state: State) -> None:
    assert used_at_zero().state(after_ms * MS_NS) is state


@pytest.mark.parametrize(
    ("after_ms", "direction", "ready_ms"),
    [
        (100, UP, 100),
        (100, DOWN, 100),
        (1000, UP, 1000),  # a dozing phone sends when it wants to
        (1000, DOWN, 1280),  # and listens at 0, 320, 640, 960, 1280
        (1280, DOWN, 1280),
        (20_000, UP, 20_270),  # promotion
        (20_000, DOWN, 20_480 + 270),  # paged at 16 x 1,280, then promotion
    ],
)
def test_what_a_state_costs_by_hand(after_ms: int, direction: Direction, ready_ms: int) -> None:
    assert used_at_zero().gate(after_ms * MS_NS, direction) == ready_ms * MS_NS


def test_a_phase_shifts_the_instants_at_which_it_listens() -> None:
    assert used_at_zero(phase_ns=50 * MS_NS).gate(1000 * MS_NS, DOWN) == (50 + 3 * 320) * MS_NS


def test_what_comes_during_a_promotion_waits_for_its_end() -> None:
    radio = RadioState(LTE)
    assert radio.gate(0, UP) == 270 * MS_NS
    assert radio.gate(100 * MS_NS, UP) == 270 * MS_NS
    assert radio.gate(200 * MS_NS, DOWN) == 270 * MS_NS
    assert radio.gate(300 * MS_NS, UP) == 300 * MS_NS


def test_a_phone_that_wants_to_send_does_not_wait_to_be_paged() -> None:
    radio = RadioState(LTE, phase_ns=1000 * MS_NS)
    assert radio.gate(0, DOWN) == 1270 * MS_NS
    assert radio.gate(100 * MS_NS, UP) == 370 * MS_NS
    assert radio.gate(400 * MS_NS, DOWN) == 1270 * MS_NS  # behind the first: never overtakes
    assert radio.on_ns(1270 * MS_NS) == 1170 * MS_NS


def test_use_keeps_a_radio_up() -> None:
    radio = used_at_zero()
    radio.use(9 * SECOND_NS)
    assert radio.gate(9 * SECOND_NS + 150 * MS_NS, DOWN) == 9 * SECOND_NS + 150 * MS_NS
    assert radio.state(15 * SECOND_NS) is State.DOZING


def test_a_radio_that_never_idles_costs_nothing_upwards() -> None:
    wifi = RadioState(dataclasses.replace(LTE, idle_after_ns=None))
    assert wifi.state(0) is State.CONNECTED
    assert wifi.gate(100 * SECOND_NS, UP) == 100 * SECOND_NS


def test_how_long_it_was_on_counts_promotion_and_tail() -> None:
    radio = RadioState(LTE)
    assert radio.on_ns(5 * SECOND_NS) == 0
    radio.gate(5 * SECOND_NS, UP)
    radio.use(6 * SECOND_NS)
    assert radio.on_ns(7 * SECOND_NS) == 2 * SECOND_NS
    assert radio.on_ns(100 * SECOND_NS) == 11 * SECOND_NS  # 1 s of use and a tail of 10
    radio.gate(100 * SECOND_NS, UP)
    assert radio.on_ns(101 * SECOND_NS) == 12 * SECOND_NS


def test_time_until_it_is_paged_is_not_time_on() -> None:
    radio = RadioState(LTE, phase_ns=1000 * MS_NS)
    radio.gate(0, DOWN)
    assert radio.on_ns(1270 * MS_NS) == 270 * MS_NS


offers = st.lists(st.tuples(st.integers(0, 15 * SECOND_NS), st.sampled_from(Direction)), min_size=1, max_size=30)


@settings(deadline=None, max_examples=100)
@given(offers, st.integers(0, 1280 * MS_NS))
def test_nothing_passes_early_and_each_direction_keeps_its_order(offers, phase_ns) -> None:
    radio, now, last = RadioState(LTE, phase_ns=phase_ns), 0, dict.fromkeys(Direction, 0)
    for pause_ns, direction in offers:
        now += pause_ns
        ready = radio.gate(now, direction)
        assert max(now, last[direction]) <= ready <= now + LTE.paging_cycle_ns + LTE.promotion_ns
        last[direction] = ready
        assert radio.on_ns(now) <= now
    assert radio.gate(max(last.values()), UP) == max(last.values())  # it is up now


@pytest.mark.parametrize("change", [{"promotion_ns": -1}, {"idle_after_ns": 1}, {"drx_cycle_ns": -1}])
def test_timers_that_make_no_sense_are_refused(change: dict[str, int]) -> None:
    with pytest.raises(ConfigInvalid, match="idle not before dozing"):
        dataclasses.replace(LTE, **change)
