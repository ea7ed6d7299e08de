"""Nothing is lost from the books: what was offered has arrived, was dropped or is under way, at every instant of whole exchanges."""

from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline_bench.netsim.capacity import MBIT, OPPORTUNITY_BYTES, Capacity, ConstantRate, Opportunities, SteppedRate
from sightline_bench.netsim.cell import Cell
from sightline_bench.netsim.clock import MS_NS, SECOND_NS, VirtualTime
from sightline_bench.netsim.connection import Connection
from sightline_bench.netsim.exchange import Exchange, Payload
from sightline_bench.netsim.jitter import Jitter
from sightline_bench.netsim.link import Dropped, Limit, Link
from sightline_bench.netsim.loss import GilbertElliott
from sightline_bench.netsim.profiles import shipped_profiles
from sightline_bench.netsim.radio import Direction, RadioModel, RadioState
from sightline_bench.netsim.stack import STACKS, Session
from sightline_bench.netsim.virtual import Rest, Setup, device
from sightline_bench.netsim.wire import Wire

UP, DOWN = Direction.UP, Direction.DOWN
BOOK = shipped_profiles()
SLEEPY = RadioModel(2 * MS_NS, 32 * MS_NS, SECOND_NS, 270 * MS_NS, 128 * MS_NS)


class Book:
    """Both directions of a cell with every packet written down: what was offered, what became of it, when."""

    def __init__(self, capacities: dict[Direction, Capacity], jitter_ns: int, room: int, share: float) -> None:
        self.offers: dict[Direction, list[tuple[int, int, int | Dropped]]] = {way: [] for way in Direction}
        loss = GilbertElliott.of(share, 2) if share else None
        links = {
            way: self._noted(
                way, Link(capacity, jitter=Jitter(jitter_ns), limit=Limit(packets=room), loss=loss, seed=way.value)
            )
            for way, capacity in capacities.items()
        }
        self.cell = Cell(links, 10 * MS_NS)

    def _noted(self, way: Direction, link: Link) -> Link:
        offer = link.offer

        def noted(now_ns: int, size_bytes: int) -> int | Dropped:
            arrives = offer(now_ns, size_bytes)
            self.offers[way].append((now_ns, size_bytes, arrives))
            return arrives

        link.offer = noted  # type: ignore[method-assign]
        return link


class Counted(Wire):
    """A wire that adds up what really came out of it."""

    def __init__(self, time: VirtualTime, cell: Cell, radio: RadioState) -> None:
        super().__init__(time, cell, radio)
        self.came: Counter[Direction] = Counter()
        self.moments: list[tuple[int, Direction, int]] = []

    def send(self, direction: Direction, size_bytes: int, arrive: Callable[[], None]) -> None:
        def arrived() -> None:
            self.came[direction] += size_bytes
            self.moments.append((self.time.now_ns, direction, self.came[direction]))
            arrive()

        super().send(direction, size_bytes, arrived)


def capacity(kind: str, rates: list[int]) -> Capacity:
    if kind == "constant":
        return ConstantRate(max(MBIT // 10, *rates))
    if kind == "stepped":
        return SteppedRate([*rates, MBIT], 40 * MS_NS)
    return Opportunities([*sorted(rate % 500 * MS_NS for rate in rates), 500 * MS_NS, 500 * MS_NS])


@settings(deadline=None, max_examples=80)
@given(
    st.sampled_from(["constant", "stepped", "opportunities"]),
    st.lists(st.integers(1, 20 * MBIT), min_size=1, max_size=40),
    st.integers(0, 8 * MS_NS),
    st.integers(3, 40),
    st.sampled_from([0.0, 0.05, 0.3]),
    st.sampled_from(sorted(STACKS)),
    st.sampled_from(Session),
    st.tuples(st.integers(1, 50_000), st.integers(1, 50_000)),
)
def test_what_was_offered_has_arrived_was_dropped_or_is_under_way(
    kind, rates, jitter_ns, room, share, stack, session, sizes
) -> None:
    book = Book({way: capacity(kind, rates) for way in Direction}, jitter_ns, room, share)
    time = VirtualTime()
    wire = Counted(time, book.cell, RadioState(SLEEPY))
    exchange = Exchange(Connection(wire, STACKS[stack], session, 20 * MS_NS), Payload(*sizes), lambda now_ns: 3 * MS_NS)
    exchange.begin()
    time.run()
    assert exchange.result is not None and wire.moments
    for now_ns, way, came in wire.moments:
        # Two packets of one instant come out one after the other: those of later instants are still under way.
        offered = [(size, arrives) for at, size, arrives in book.offers[way] if at <= now_ns]
        before = sum(size for size, arrives in offered if not isinstance(arrives, Dropped) and arrives < now_ns)
        until = sum(size for size, arrives in offered if not isinstance(arrives, Dropped) and arrives <= now_ns)
        assert before < came <= until
    for way, count in wire.counts.items():
        offers = book.offers[way]
        dropped = [size for _, size, arrives in offers if isinstance(arrives, Dropped)]
        assert (count.packets, count.dropped) == (len(offers), len(dropped))
        assert count.size_bytes == sum(size for _, size, _ in offers) == wire.came[way] + sum(dropped)


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.integers(0, 400), min_size=5, max_size=80),
    st.integers(2, 60),
    st.lists(st.integers(1, 30_000), min_size=2, max_size=5),
)
def test_phones_that_share_a_trace_get_no_more_than_its_opportunities(times, room, sizes) -> None:
    times_ns = [*sorted(time * MS_NS for time in times), 400 * MS_NS]
    book = Book({UP: Opportunities(times_ns), DOWN: ConstantRate(50 * MBIT)}, 0, room, 0.0)
    time, exchanges = VirtualTime(), []
    for number, size in enumerate(sizes):
        wire = Wire(time, book.cell, RadioState(SLEEPY, used_ns=0))
        exchanges.append(Exchange(Connection(wire, STACKS["http2"], Session.WARM, 20 * MS_NS), Payload(size, 500), int))
        time.at(number * 30 * MS_NS, exchanges[-1].begin)
    time.run(until_ns=20 * SECOND_NS)
    passed = sorted((arrives, size) for _, size, arrives in book.offers[UP] if not isinstance(arrives, Dropped))
    assert len(passed) >= len(sizes)
    until = 0
    for at, size in passed:
        until += size
        rounds, rest = divmod(at, times_ns[-1])
        # The last instant of a round is the first of the next.
        chances = rounds * len(times_ns) + sum(time_ns <= rest for time_ns in times_ns)
        assert until <= OPPORTUNITY_BYTES * chances


CONSTANT = [name for name, profile in BOOK.profiles.items() if profile.is_constant]


@pytest.mark.parametrize("name", CONSTANT)
@pytest.mark.parametrize(("stack", "share"), [("http2", 1448 / 1500), ("http3", 1165 / 1228)])
@pytest.mark.parametrize("way", Direction)
def test_goodput_is_never_above_its_share_of_a_networks_line(
    name: str, stack: str, share: float, way: Direction
) -> None:
    profile, size = BOOK.named(name), 400_000
    payload = Payload(size, 500) if way is UP else Payload(100, size)
    setup = Setup(
        profile.radio, STACKS[stack], Session.WARM, Rest.ACTIVE, payload, int, round(profile.round_trip_ms * MS_NS)
    )
    (outcome,) = device(profile.cell(seed=1), setup, range(1), SECOND_NS, seed=1)
    assert outcome.breakdown is not None
    taken_ns = (
        outcome.breakdown.uplink_ns if way is UP else outcome.breakdown.downlink_ns
    ) - profile.round_trip_ms * MS_NS / 2
    mbit = profile.up if way is UP else profile.down
    assert isinstance(mbit, float)
    assert 8000 * size / taken_ns <= mbit * share
    # Where a window of ten packets fills the line at once it is nearly all of it.
    if name in ("slow4g", "3g") and not outcome.counts[way].dropped:
        assert 8000 * size / taken_ns > 0.85 * mbit * share
