"""Network sense: what round trips and failures say, with a clock and chances of our own."""

import pytest

from sightline_edge.config import Options
from sightline_edge.network import FAILURES_IN_A_ROW, LONGEST_OPEN_S, TOKENS, Network
from sightline_shared.errors import ServiceBusy, ServiceUnreachable

GONE = ServiceUnreachable("gone")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def network(clock: Clock | None = None, chance: float = 0.5) -> Network:
    return Network(clock=clock or Clock(), chance=lambda: chance)


def answered(own: Network, *round_trips_ms: float) -> Network:
    for ms in round_trips_ms:
        own.admit()
        own.succeeded(ms)
    return own


def broken(own: Network, times: int = FAILURES_IN_A_ROW) -> Network:
    for _ in range(times):
        own.admit()
        own.failed()
    return own


def test_round_trips_are_smoothed_as_tcp_does() -> None:
    state = answered(network(), 100, 180).state()
    assert state.round_trip_ms == pytest.approx(110) and state.deviation_ms == pytest.approx(0.75 * 50 + 0.25 * 80)
    assert network().state().round_trip_ms is None


def test_after_failures_in_a_row_the_service_is_left_alone_and_then_tried_once() -> None:
    clock = Clock()
    own = broken(network(clock))
    with pytest.raises(ServiceUnreachable, match="last 5 attempts failed"):
        own.admit()
    clock.now += 1.01
    own.admit()
    with pytest.raises(ServiceUnreachable):  # one at a time
        own.admit()
    own.succeeded(50)
    own.admit()
    own.admit()


def test_a_failed_try_leaves_it_alone_for_longer_up_to_a_bound() -> None:
    clock = Clock()
    own = broken(network(clock))
    pauses = []
    for _ in range(12):
        pauses.append(own.state().open_for_s)
        clock.now += pauses[-1] + 0.001
        broken(own, 1)
    assert pauses[:4] == pytest.approx([1, 2, 4, 8]) and max(pauses) == pytest.approx(LONGEST_OPEN_S)


def test_one_answer_between_failures_keeps_it_asked() -> None:
    own = network()
    for _ in range(4):
        answered(broken(own, FAILURES_IN_A_ROW - 1), 100)
    own.admit()


def test_a_try_that_the_app_gave_up_lets_the_next_one_try() -> None:
    clock = Clock()
    own = broken(network(clock))
    clock.now += 2
    own.admit()
    own.abandoned()
    own.admit()


def test_pauses_double_with_full_jitter_and_fit_the_deadline() -> None:
    assert [network(chance=0.999).pause_ms(n, GONE, 5000) for n in (1, 2, 3)] == pytest.approx([50, 100, 200], rel=0.01)
    assert network(chance=0.0).pause_ms(3, GONE, 5000) == 0
    known = answered(network(), 80)
    assert known.pause_ms(1, GONE, 106) is not None and known.pause_ms(1, GONE, 104) is None


def test_what_the_service_asks_for_is_kept_to() -> None:
    busy = ServiceBusy("later")
    busy.retry_after_s = 2
    assert network().pause_ms(1, busy, 5000) == pytest.approx(2025)
    assert network().pause_ms(1, busy, 1500) is None


def test_a_service_in_trouble_is_not_asked_twice() -> None:
    """Of a thousand queries that all fail, retries and hedges add a handful, not a thousand."""
    clock, retries = Clock(), 0
    own = network(clock)
    for _ in range(1000):
        clock.now += 60  # the breaker lets every one of them try
        own.admit()
        own.failed()
        retries += own.pause_ms(1, GONE, 5000) is not None
    assert retries <= TOKENS / 2
    assert own.hedge_ms(5000) is None


def test_a_hedge_waits_until_an_answer_is_later_than_nearly_all_were() -> None:
    own = answered(network(), *[100, 110] * 3)
    assert own.hedge_ms(2000) is None  # too few to know
    answered(own, *[100, 110] * 10)
    after = own.hedge_ms(2000)
    assert after is not None and 110 < after < 200
    assert own.hedge_ms(150) is None  # its answer could not come in time
    for _ in range(int(TOKENS)):
        own.hedged()
    assert own.hedge_ms(2000) is None


def test_on_a_poor_network_less_is_asked_for() -> None:
    options = Options(k=20, crops=5)
    assert answered(network(), 60, 60).modest(options) is options
    slow = answered(network(), 700).modest(options)
    assert (slow.k, slow.crops) == (8, 2)
    lossy = broken(answered(network(), 60), 2)
    assert lossy.poor and lossy.modest(Options(k=3)).k == 3
    assert not answered(lossy, *[60] * 10).poor


def test_whether_waiting_is_worth_it() -> None:
    assert network().can_answer(1)
    own = answered(network(), *[500] * 20)
    assert own.can_answer(600) and not own.can_answer(200)
