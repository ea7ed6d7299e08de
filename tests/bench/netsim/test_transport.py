"""TCP and QUIC over two links: times worked out by hand, exact; losses, queues, handshakes, radios; bytes with all headers."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.netsim_phone import Phone

from sightline_bench.netsim.clock import MS_NS, SECOND_NS
from sightline_bench.netsim.exchange import Breakdown
from sightline_bench.netsim.radio import Direction, RadioModel
from sightline_bench.netsim.stack import QUIC, STACKS, TCP, Session
from sightline_bench.netsim.stream import INITIAL_WINDOW

UP, DOWN = Direction.UP, Direction.DOWN
# At 12 Mbit/s 1,500 bytes take 1 ms and a byte 2/3 us. Heads of HTTP/1.1 without TLS: 275 bytes up, 145 down.
HEAD_UP, HEAD_DOWN = STACKS["http1-plain"].later_head_bytes


def wire_ns(packet_bytes: int, mbit: int = 12) -> int:
    """What a packet takes on the link, rounded up to a nanosecond."""
    return -(-8 * packet_bytes * 1000 // mbit)


# --- by hand


def test_a_small_query_takes_one_round_trip_and_its_bytes_over_the_rate() -> None:
    phone = Phone()
    found = phone.ask(phone.connect(), up_bytes=96, down_bytes=600)
    assert found == Breakdown(
        wake_ns=0,
        connect_ns=0,
        tls_ns=0,
        uplink_ns=wire_ns(96 + HEAD_UP + 52) + 20 * MS_NS,
        queue_ns=0,
        server_ns=0,
        downlink_ns=20 * MS_NS + wire_ns(600 + HEAD_DOWN + 52),
    )
    # The query, the answer with the acknowledgement, and the phone's own acknowledgement.
    counts = phone.wire.counts
    assert (counts[UP].packets, counts[UP].size_bytes) == (2, 96 + HEAD_UP + 52 + 52)
    assert (counts[DOWN].packets, counts[DOWN].size_bytes) == (1, 600 + HEAD_DOWN + 52)


@pytest.mark.parametrize(("thinks_ms", "packets"), [(7, 1), (41, 2)])
def test_a_server_that_thinks_adds_its_time_and_acknowledges_with_its_answer_or_after_40_ms(
    thinks_ms: int, packets: int
) -> None:
    phone = Phone()
    found = phone.ask(phone.connect(), 96, 600, server=lambda now_ns: thinks_ms * MS_NS)
    assert found.server_ns == thinks_ms * MS_NS
    assert found.downlink_ns == 20 * MS_NS + wire_ns(600 + HEAD_DOWN + 52)
    assert phone.wire.counts[DOWN].packets == packets


def test_slow_start_takes_a_second_round_trip_for_40_kb() -> None:
    # 27 whole segments and one of 904 bytes: ten at once, and four for each acknowledgement of two of them.
    phone = Phone(down_mbit=120, up_mbit=12)
    found = phone.ask(phone.connect(), 96, 40_000 - HEAD_DOWN)
    packet_ns = wire_ns(1500, 120)  # 0.1 ms
    first_acknowledged_ns = 20 * MS_NS + 2 * packet_ns + wire_ns(52) + 20 * MS_NS
    # From then on the link is never idle: four packets take 0.4 ms, and the next acknowledgement comes after 0.2.
    assert found.downlink_ns == first_acknowledged_ns + 20 * MS_NS + 17 * packet_ns + wire_ns(904 + 52, 120)


def test_ten_packets_need_no_second_round_trip_and_eleven_do() -> None:
    whole = [Phone(down_mbit=1200) for _ in range(2)]
    ten, eleven = (
        phone.ask(phone.connect(), 96, packets * 1448 - HEAD_DOWN).downlink_ns
        for phone, packets in zip(whole, (10, 11), strict=True)
    )
    assert ten == 20 * MS_NS + 10 * wire_ns(1500, 1200)
    assert eleven == 20 * MS_NS + 2 * wire_ns(1500, 1200) + wire_ns(52) + 40 * MS_NS + wire_ns(1500, 1200)


def test_a_slow_link_is_kept_busy_from_the_first_packet_on() -> None:
    # At 1.2 Mbit/s a packet takes 10 ms, ten of them twice the round trip: 40 KB are bytes over rate.
    phone = Phone(down_mbit=1)
    found = phone.ask(phone.connect(), 96, 40_000 - HEAD_DOWN)
    assert found.downlink_ns == 20 * MS_NS + 27 * wire_ns(1500, 1) + wire_ns(904 + 52, 1)


@pytest.mark.parametrize(
    ("stack", "session", "round_trips"),
    [
        ("http1-plain", Session.WARM, 1),
        ("http1-plain", Session.COLD, 2),
        ("http1", Session.COLD, 3),
        ("http2", Session.COLD, 3),
        ("http1", Session.RESUMED, 3),
        ("http1", Session.RESUMED_EARLY, 2),
        ("http3", Session.WARM, 1),
        ("http3", Session.COLD, 2),
        ("http3", Session.RESUMED, 2),
        ("http3", Session.RESUMED_EARLY, 1),
    ],
)
def test_a_session_costs_its_round_trips(stack: str, session: Session, round_trips: int) -> None:
    phone = Phone(one_way_ms=500, up_mbit=1000, down_mbit=1000)
    total_ns = phone.ask(phone.connect(stack, session), 96, 600).total_ns
    assert round_trips * SECOND_NS < total_ns < round_trips * SECOND_NS + MS_NS
    assert phone.wire.counts[UP].dropped == phone.wire.counts[DOWN].dropped == 0


def test_a_cold_start_by_hand() -> None:
    phone = Phone()
    found = phone.ask(phone.connect("http1", Session.COLD), 96, 600)
    assert found.connect_ns == 40 * MS_NS + 2 * wire_ns(60)
    # Hello of 517, behind the last acknowledgement of TCP's handshake; then 2,272 in two packets.
    assert found.tls_ns == 40 * MS_NS + wire_ns(52) + wire_ns(517 + 52) + wire_ns(1500) + wire_ns(2272 - 1448 + 52)
    # Finished in a packet of its own, then the query, with 22 bytes for its record.
    query_ns = wire_ns(96 + HEAD_UP + 22 + 52)
    assert found.uplink_ns == 20 * MS_NS + wire_ns(80 + 52) + query_ns
    # The answer is behind the tickets, which left when Finished came.
    tickets_ns = wire_ns(510 + 52) - query_ns
    assert found.downlink_ns == 20 * MS_NS + tickets_ns + wire_ns(600 + HEAD_DOWN + 22 + 52)
    assert found.queue_ns == 0


def test_a_second_query_finds_the_connection_open() -> None:
    phone = Phone()
    connection = phone.connect("http2", Session.COLD)
    first, second = (phone.ask(connection, 96, 600) for _ in range(2))
    assert first.connect_ns and first.tls_ns and not second.connect_ns and not second.tls_ns
    assert second.uplink_ns == 20 * MS_NS + wire_ns(96 + 10 + 18 + 22 + 52)


# --- losses


@pytest.mark.parametrize(("stack", "timer_ms"), [("http1-plain", 40 + 200), ("http3", 40 + 40)])
def test_a_lost_query_is_sent_again_after_the_timer(stack: str, timer_ms: int) -> None:
    # A round trip of 40 ms that is known: TCP waits 200 ms more, QUIC four deviations of a quarter of it each.
    lossless, lossy = Phone(), Phone(lost_up={0})
    times = [phone.ask(phone.connect(stack), 96, 600).total_ns for phone in (lossless, lossy)]
    assert times[1] - times[0] == timer_ms * MS_NS


def test_a_timer_doubles() -> None:
    lossless, lossy = Phone(), Phone(lost_up={0, 1, 2})
    times = [phone.ask(phone.connect(), 96, 600).total_ns for phone in (lossless, lossy)]
    assert times[1] - times[0] == (1 + 2 + 4) * 240 * MS_NS


@pytest.mark.parametrize("lost", [{"lost_up": {0}}, {"lost_down": {0}}])
def test_a_lost_greeting_is_repeated_after_a_second(lost: dict[str, set[int]]) -> None:
    phone = Phone(**lost)
    found = phone.ask(phone.connect("http1", Session.COLD), 96, 600)
    assert found.connect_ns == SECOND_NS + 40 * MS_NS + 2 * wire_ns(60)


def test_a_lost_packet_among_many_is_found_by_those_after_it() -> None:
    phone = Phone(down_mbit=120, lost_down={2})
    found = phone.ask(phone.connect(), 96, 10 * 1448 - HEAD_DOWN)
    packet_ns = wire_ns(1500, 120)
    # The third after it is the sixth packet; its acknowledgement is behind nothing, and the repetition comes at once.
    assert found.downlink_ns == 20 * MS_NS + 6 * packet_ns + wire_ns(52) + 40 * MS_NS + packet_ns
    assert phone.wire.counts[DOWN].packets == 11


def test_a_loss_shrinks_the_window_once_a_flight() -> None:
    phone = Phone(down_mbit=120, lost_down={2, 3})
    connection = phone.connect()
    phone.ask(connection, 96, 10 * 1448 - HEAD_DOWN)
    assert connection.streams[DOWN].window == pytest.approx((INITIAL_WINDOW + 2 + 1) * 0.7, abs=1.0)


def test_a_queue_that_fills_drops_what_does_not_fit_and_everything_arrives_in_the_end() -> None:
    # Ten packets at once into room for six: four are dropped, and sent again; the last one as a probe, which shows that they are gone.
    phone = Phone(down_mbit=12, room=6)
    found = phone.ask(phone.connect(), 96, 10 * 1448 - HEAD_DOWN)
    count = phone.wire.counts[DOWN]
    assert count.dropped == 4 and count.packets == 14
    assert 140 * MS_NS < found.downlink_ns < 240 * MS_NS  # later than two round trips, sooner than the timer


def test_a_queue_of_others_is_told_apart() -> None:
    phone = Phone()
    phone.cell.links[UP].offer(0, 1500)
    found = phone.ask(phone.connect(), 96, 600)
    assert found.queue_ns == MS_NS and found.uplink_ns == wire_ns(96 + HEAD_UP + 52) + 20 * MS_NS


# --- windows


def test_an_idle_connection_begins_again_with_ten_packets() -> None:
    phone = Phone(down_mbit=120)
    connection = phone.connect()
    phone.ask(connection, 96, 100_000)
    assert connection.streams[DOWN].window > 2 * INITIAL_WINDOW
    at_once = phone.ask(connection, 96, 30_000).downlink_ns
    phone.time.after(5 * SECOND_NS, lambda: None)
    phone.time.run()
    after_idling = phone.ask(connection, 96, 30_000).downlink_ns
    assert after_idling - at_once == pytest.approx(40 * MS_NS, abs=2 * MS_NS)  # one round trip more


@pytest.mark.parametrize(("stack", "framing"), [("http1-plain", TCP), ("http3", QUIC)])
def test_goodput_comes_near_the_payloads_share_of_the_line_and_never_beyond(stack: str, framing) -> None:
    # Ten packets last as long as a round trip: the line is never idle.
    phone = Phone(one_way_ms=3, down_mbit=12)
    size = 3_000_000
    found = phone.ask(phone.connect(stack), 96, size)
    goodput_mbit = 8000 * size / found.downlink_ns
    share = framing.mss_bytes / framing.packet_bytes
    assert 0.99 * share * 12 < goodput_mbit <= share * 12
    assert TCP.mss_bytes / TCP.packet_bytes == 1448 / 1500


# --- the radio

LTE = RadioModel(
    drx_after_ns=200 * MS_NS,
    drx_cycle_ns=320 * MS_NS,
    idle_after_ns=10 * SECOND_NS,
    promotion_ns=270 * MS_NS,
    paging_cycle_ns=1280 * MS_NS,
)


def test_an_idle_radio_is_woken_first_and_the_window_survives_the_timer_that_fires_meanwhile() -> None:
    phone = Phone(radio=LTE)
    connection = phone.connect()
    found = phone.ask(connection, 96, 600)
    assert found.wake_ns == 270 * MS_NS
    assert found.total_ns == 310 * MS_NS + wire_ns(96 + HEAD_UP + 52) + wire_ns(600 + HEAD_DOWN + 52)
    # The query was sent twice: 240 ms are over before the radio is up. It was no congestion.
    assert phone.wire.counts[UP].packets == 3 and connection.streams[UP].window >= INITIAL_WINDOW


def test_an_answer_that_comes_to_a_dozing_radio_waits_until_it_listens() -> None:
    phone = Phone(radio=LTE, used_ns=0)
    found = phone.ask(phone.connect(), 96, 600, server=lambda now_ns: 500 * MS_NS)
    up_ns = wire_ns(96 + HEAD_UP + 52) + 20 * MS_NS
    # The answer is there at 540.28 ms, and the radio listens at 640.
    assert found.wake_ns == 640 * MS_NS - (up_ns + 500 * MS_NS + 20 * MS_NS)
    assert found.total_ns == 640 * MS_NS + wire_ns(600 + HEAD_DOWN + 52)


# --- whatever happens

sizes = st.integers(1, 60_000)
numbers = st.sets(st.integers(0, 40), max_size=12)


@settings(deadline=None, max_examples=60)
@given(sizes, sizes, numbers, numbers, st.sampled_from(sorted(STACKS)), st.sampled_from(Session), st.booleans())
def test_every_exchange_ends_whole_and_its_stages_add_up(up, down, lost_up, lost_down, stack, session, asleep) -> None:
    def ask() -> tuple[Breakdown, int, dict]:
        radio = {"radio": LTE} if asleep else {}
        phone = Phone(lost_up=lost_up, lost_down=lost_down, room=20, **radio)
        found = phone.ask(phone.connect(stack, session), up, down, lambda now_ns: 3 * MS_NS)
        return found, phone.time.now_ns, {way: dataclasses.asdict(count) for way, count in phone.wire.counts.items()}

    found, ended_ns, counts = ask()
    assert all(ns >= 0 for ns in dataclasses.asdict(found).values())
    assert 40 * MS_NS + 3 * MS_NS < found.total_ns <= ended_ns
    # Nothing is faster than its bytes on the line, and all of it was sent.
    assert found.uplink_ns > wire_ns(up) and found.downlink_ns > wire_ns(down)
    assert counts[UP]["size_bytes"] > up and counts[DOWN]["size_bytes"] > down
    assert (found, ended_ns, counts) == ask()
