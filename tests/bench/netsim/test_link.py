"""A link: hand-worked deliveries exact, nothing delivered beyond capacity, drop-tail, order kept, losses in bursts."""

import itertools
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline_bench.netsim.capacity import (
    MBIT,
    OPPORTUNITY_BYTES,
    Capacity,
    ConstantRate,
    Opportunities,
    Stalled,
    SteppedRate,
)
from sightline_bench.netsim.clock import MS_NS, SECOND_NS, VirtualTime
from sightline_bench.netsim.jitter import MEMORY_NS, Jitter, JitterState
from sightline_bench.netsim.link import Dropped, Limit, Link
from sightline_bench.netsim.loss import GilbertElliott, LossState
from sightline_shared.errors import ConfigInvalid, InputError

# --- time


def test_things_happen_in_order_and_those_of_one_instant_as_they_were_asked_for() -> None:
    time, seen = VirtualTime(), []
    for name, when_ns in (("late", 9), ("first", 5), ("second", 5), ("early", 1)):
        time.at(when_ns, lambda name=name: seen.append((time.now_ns, name)))
    time.run()
    assert seen == [(1, "early"), (5, "first"), (5, "second"), (9, "late")]


def test_what_is_cancelled_does_not_happen_and_what_has_passed_happens_now() -> None:
    time, seen = VirtualTime(100), []
    time.at(150, lambda: seen.append("cancelled")).cancel()
    time.at(20, lambda: seen.append(f"past at {time.now_ns}"))
    time.run(until_ns=400)
    assert seen == ["past at 100"] and time.now_ns == 400


def test_time_stops_where_it_is_told_to() -> None:
    time, seen = VirtualTime(), []
    for when_ns in (10, 11):
        time.at(when_ns, lambda when_ns=when_ns: seen.append(when_ns))
    time.run(until_ns=10)
    assert seen == [10]
    time.run()
    assert seen == [10, 11]


# --- deliveries, by hand


def test_a_packet_takes_its_bytes_over_the_rate_and_the_time_of_flight() -> None:
    # 1,500 bytes at 12 Mbit/s: 1 ms.
    link = Link(ConstantRate(12 * MBIT), propagation_ns=20 * MS_NS)
    assert link.offer(0, 1500) == 21 * MS_NS
    assert link.offer(0, 750) == 21 * MS_NS + MS_NS // 2  # behind the first
    assert link.backlog_ns(0) == MS_NS * 3 // 2
    assert link.offer(10 * MS_NS, 1500) == 31 * MS_NS  # the link is free again
    assert link.backlog_ns(20 * MS_NS) == 0


def test_a_rate_by_the_second_carries_a_packet_over_the_border_and_waits_through_an_outage() -> None:
    # 8 bits in a second of 8 bit/s, none in the next, 16 bit/s in the third.
    link = Link(SteppedRate([8, 0, 16]))
    assert link.offer(0, 1) == SECOND_NS
    assert link.offer(0, 1) == SECOND_NS * 5 // 2
    assert link.offer(0, 1) == SECOND_NS * 3
    assert link.offer(0, 2) == SECOND_NS * 11 // 2  # 1 byte in the fourth second, nothing in the fifth


def test_a_long_outage_is_passed_over_at_once() -> None:
    # 12,000 bits at 1 bit each 100,001 seconds: the last one passes at the end of round 12,000.
    link = Link(SteppedRate([*[0] * 100_000, 1]))
    assert link.offer(0, 1500) == 12_000 * 100_001 * SECOND_NS


@pytest.mark.parametrize(
    ("capacity", "bits"),
    [
        (ConstantRate(12), [0, 6, 12, 30]),
        (SteppedRate([8, 0, 16]), [0, 4, 8, 8 + 0 + 8]),
        (Opportunities([MS_NS, 700 * MS_NS, 2000 * MS_NS]), [0, 12_000, 24_000, 48_000]),
        (Stalled(ConstantRate(12), SECOND_NS // 4, SECOND_NS), [0, 3, 3, 18]),
    ],
    ids=lambda each: type(each).__name__,
)
def test_what_may_pass_until_an_instant(capacity: Capacity, bits: list[int]) -> None:
    assert [capacity.bits_until(round(at_s * SECOND_NS)) for at_s in (0, 0.5, 1, 2.5)] == bits


def test_opportunities_are_shared_by_small_packets_and_lost_when_nobody_waits() -> None:
    link = Link(Opportunities([2 * MS_NS, 2 * MS_NS, 10 * MS_NS]))
    assert [link.offer(0, 500) for _ in range(3)] == [2 * MS_NS] * 3  # the first opportunity, used up
    assert link.offer(0, 100) == 2 * MS_NS  # the second, whose other 1,400 bytes are lost
    assert link.offer(3 * MS_NS, 1500) == 10 * MS_NS
    # Round two begins where round one ended.
    assert link.offer(10 * MS_NS, 1400) == 12 * MS_NS
    assert link.offer(10 * MS_NS, 200) == 12 * MS_NS  # 100 bytes of each of its two opportunities
    assert link.offer(13 * MS_NS, 1500) == 20 * MS_NS


def test_an_opportunity_of_the_very_instant_counts() -> None:
    link = Link(Opportunities([5, 10]))
    assert [link.offer(now, 1500) for now in (5, 10, 15, 20, 21)] == [5, 10, 15, 20, 25]


def test_nothing_passes_during_a_stall() -> None:
    link = Link(Stalled(ConstantRate(12 * MBIT), begin_ns=10 * MS_NS, stall_ns=1000 * MS_NS))
    assert link.offer(8 * MS_NS, 1500) == 9 * MS_NS
    assert link.offer(9 * MS_NS + MS_NS // 2, 1500) == 1010 * MS_NS  # under way when it began
    assert link.offer(20 * MS_NS, 1500) == 1011 * MS_NS


# --- nothing beyond capacity

packets = st.lists(st.tuples(st.integers(0, 40 * MS_NS), st.integers(1, 1500)), min_size=1, max_size=60)


def delivered(link: Link, offers: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Arrival and size of what comes through, offered with these pauses and sizes."""
    now, out = 0, []
    for pause_ns, size_bytes in offers:
        now += pause_ns
        arrives = link.offer(now, size_bytes)
        if not isinstance(arrives, Dropped):
            assert arrives >= now
            out.append((arrives, size_bytes))
    return out


@settings(deadline=None, max_examples=50)
@given(packets, st.lists(st.integers(0, 200 * MS_NS), min_size=1, max_size=40), st.integers(1, 20) | st.none())
def test_no_more_is_delivered_than_there_were_opportunities(offers, times, room) -> None:
    times = [*sorted(times), 201 * MS_NS]
    came = delivered(Link(Opportunities(times), limit=Limit(packets=room)), offers)
    rounds = came[-1][0] // times[-1] + 1 if came else 1
    chances = [lap * times[-1] + time for lap in range(rounds) for time in times]
    for until, _ in came:
        passed = sum(size for arrives, size in came if arrives <= until)
        assert passed <= OPPORTUNITY_BYTES * sum(time <= until for time in chances)


@settings(deadline=None, max_examples=50)
@given(packets, st.lists(st.integers(0, 5 * MBIT), min_size=1, max_size=8), st.integers(MS_NS, 100 * MS_NS))
def test_no_more_is_delivered_than_the_rates_allow(offers, rates, step_ns) -> None:
    rates = [*rates, MBIT]
    came = delivered(Link(SteppedRate(rates, step_ns)), offers)
    for until, _ in came[-3:]:
        passed = sum(8 * size * SECOND_NS for arrives, size in came if arrives <= until)
        whole, rest_ns = divmod(until, step_ns)
        rounds, into = divmod(whole, len(rates))
        allowed = (rounds * sum(rates) + sum(rates[:into])) * step_ns + rates[into] * rest_ns
        assert passed <= allowed


@settings(deadline=None, max_examples=50)
@given(packets, st.integers(1000, 10 * MBIT))
def test_one_steady_rate_is_the_same_told_by_the_second(offers, rate) -> None:
    steady, stepped = Link(ConstantRate(rate)), Link(SteppedRate([rate]))
    pairs = zip(delivered(steady, offers), delivered(stepped, offers), strict=True)
    # The steady one rounds up once a packet, the stepped one once a packet as well, but carries nothing over a border.
    assert all(abs(one[0] - other[0]) <= len(offers) for one, other in pairs)


@settings(deadline=None, max_examples=50)
@given(packets, st.integers(0, 30 * MS_NS), st.integers(0, 2**32))
def test_jitter_makes_late_and_keeps_the_order(offers, jitter_ns, seed) -> None:
    def link(jitter_ns: int) -> Link:
        return Link(ConstantRate(MBIT), propagation_ns=MS_NS, jitter=Jitter(jitter_ns), seed=str(seed))

    late, prompt = delivered(link(jitter_ns), offers), delivered(link(0), offers)
    assert all(one >= other for (one, _), (other, _) in zip(late, prompt, strict=True))
    assert all(one[0] <= other[0] for one, other in itertools.pairwise(late))
    assert late == delivered(link(jitter_ns), offers)


def test_jitter_has_the_mean_that_it_is_given() -> None:
    link = Link(ConstantRate(100 * MBIT), jitter=Jitter(5 * MS_NS), seed="1")
    late = [link.offer(second * SECOND_NS, 125) - second * SECOND_NS - 10_000 for second in range(20_000)]
    assert sum(late) / len(late) == pytest.approx(5 * MS_NS, rel=0.03)


def test_spikes_are_drawn_with_their_share_and_mean() -> None:
    link = Link(ConstantRate(100 * MBIT), jitter=Jitter(5 * MS_NS, 0.1, 200 * MS_NS), seed="1")
    late = [link.offer(10 * k * SECOND_NS, 125) - 10 * k * SECOND_NS - 10_000 for k in range(20_000)]
    assert sum(late) / len(late) == pytest.approx((0.9 * 5 + 0.1 * 200) * MS_NS, rel=0.05)
    # Nearly all beyond 50 ms are spikes, of which exp(-1/4) are that late.
    assert sum(each > 50 * MS_NS for each in late) / len(late) == pytest.approx(0.1 * 0.7788, rel=0.1)


def test_a_delay_lasts_for_a_while() -> None:
    state = JitterState(Jitter(5 * MS_NS), random.Random(1))
    pairs = [(state.late_ns(10 * SECOND_NS), state.late_ns(MEMORY_NS)) for _ in range(5000)]
    assert sum(before == after for before, after in pairs) / len(pairs) == pytest.approx(1 / math.e, rel=0.05)


def test_packets_of_one_burst_are_late_together_and_those_of_another_otherwise() -> None:
    link = Link(ConstantRate(12 * MBIT), jitter=Jitter(5 * MS_NS), seed="2")

    def late(at_ns: int) -> list[int]:
        return [link.offer(at_ns + k * MS_NS, 1500) - at_ns - (k + 1) * MS_NS for k in range(3)]

    bursts = [late(k * SECOND_NS) for k in range(50)]
    assert all(len(set(burst)) == 1 for burst in bursts) and len({burst[0] for burst in bursts}) == 50


# --- the queue


@pytest.mark.parametrize("limit", [Limit(packets=3), Limit(size_bytes=4500), Limit(size_bytes=5999)])
def test_a_full_queue_drops_what_comes_last_until_a_packet_has_passed(limit: Limit) -> None:
    link = Link(ConstantRate(12 * MBIT), limit=limit)
    assert [link.offer(0, 1500) for _ in range(4)] == [MS_NS, 2 * MS_NS, 3 * MS_NS, Dropped.QUEUE_FULL]
    assert link.offer(MS_NS - 1, 1500) is Dropped.QUEUE_FULL
    assert link.offer(MS_NS, 1500) == 4 * MS_NS


def test_a_queue_of_bytes_has_room_for_small_packets_where_large_ones_are_dropped() -> None:
    link = Link(ConstantRate(12 * MBIT), limit=Limit(size_bytes=3100))
    assert [link.offer(0, size) for size in (1500, 1500, 1500, 60)] == [
        MS_NS,
        2 * MS_NS,
        Dropped.QUEUE_FULL,
        2 * MS_NS + 40_000,
    ]


# --- losses


def test_a_lost_packet_has_used_its_capacity() -> None:
    link = Link(ConstantRate(12 * MBIT), loss=GilbertElliott(1, 1, 1, 0))  # bad, good, bad, good, ...
    assert [link.offer(0, 1500) for _ in range(4)] == [Dropped.LOST, 2 * MS_NS, Dropped.LOST, 4 * MS_NS]


def test_losses_have_the_share_and_the_bursts_that_they_are_given() -> None:
    model = GilbertElliott.of(0.03, burst_packets=4)
    assert model.share == pytest.approx(0.03)
    link = Link(ConstantRate(100 * MBIT), loss=model, seed="7")
    lost = [link.offer(k * 8_000, 100) is Dropped.LOST for k in range(200_000)]
    bursts = [len(list(group)) for is_lost, group in itertools.groupby(lost) if is_lost]
    assert sum(lost) / len(lost) == pytest.approx(0.03, rel=0.1)
    assert sum(bursts) / len(bursts) == pytest.approx(4, rel=0.1)


def test_a_link_with_jitter_loses_the_same_packets_as_one_without() -> None:
    def losses(jitter_ns: int) -> list[bool]:
        link = Link(ConstantRate(MBIT), jitter=Jitter(jitter_ns), loss=GilbertElliott.of(0.2, 2), seed="3")
        return [link.offer(k * SECOND_NS, 100) is Dropped.LOST for k in range(500)]

    assert losses(0) == losses(MS_NS) and any(losses(0))


def test_a_model_that_never_turns_bad_loses_what_good_loses() -> None:
    assert GilbertElliott.of(0.0).share == 0 and GilbertElliott(0, 1, 1, 0.25).share == 0.25
    state = LossState(GilbertElliott.of(0.0), random.Random(1))
    assert not any(state.loses(0) for _ in range(1000))


def test_a_burst_is_over_when_something_is_sent_a_second_later() -> None:
    state = LossState(GilbertElliott.of(0.1, 5), random.Random(2))
    lost = [state.loses(SECOND_NS) for _ in range(50_000)]
    after_a_loss = [after for before, after in itertools.pairwise(lost) if before]
    assert sum(after_a_loss) / len(after_a_loss) == pytest.approx(0.1, rel=0.1) == sum(lost) / len(lost)
    # At once the same model loses four of five packets that follow a lost one.
    at_once = [state.loses(0) for _ in range(50_000)]
    after_a_loss = [after for before, after in itertools.pairwise(at_once) if before]
    assert sum(after_a_loss) / len(after_a_loss) == pytest.approx(0.8, rel=0.05)


# --- refusals


@pytest.mark.parametrize(
    "make",
    [
        lambda: ConstantRate(0),
        lambda: SteppedRate([]),
        lambda: SteppedRate([0, 0]),
        lambda: SteppedRate([1, -1]),
        lambda: SteppedRate([1], step_ns=MS_NS - 1),
        lambda: Opportunities([]),
        lambda: Opportunities([0]),
        lambda: Opportunities([-1, 5]),
        lambda: Opportunities([5, 4, 6]),
        lambda: Limit(size_bytes=1499),
        lambda: Limit(packets=0),
        lambda: Link(ConstantRate(1), propagation_ns=-1),
        lambda: Jitter(-1),
        lambda: Jitter(1, 1.5, 1),
        lambda: Jitter(1, 0.5, -1),
        lambda: GilbertElliott(1.5, 1),
        lambda: GilbertElliott(0.1, 0),
        lambda: GilbertElliott.of(1.0),
        lambda: GilbertElliott.of(0.1, 0.5),
        lambda: GilbertElliott.of(0.9, 1),
    ],
)
def test_what_makes_no_sense_is_refused(make) -> None:
    with pytest.raises(ConfigInvalid, match="expected"):
        make()


def test_time_that_goes_back_is_refused() -> None:
    link = Link(ConstantRate(MBIT))
    link.offer(10, 100)
    with pytest.raises(InputError, match="never go back"):
        link.offer(9, 100)


def test_every_capacity_is_one() -> None:
    def served(capacity: Capacity) -> int:
        return capacity.serve(0, 1500)

    kinds = (ConstantRate(12 * MBIT), SteppedRate([12 * MBIT]), Opportunities([MS_NS]))
    assert {served(kind) for kind in kinds} == {MS_NS}
