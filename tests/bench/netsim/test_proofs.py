"""Whole exchanges against sums that are written out here, number by number, and not taken from the model's constants.

A phone 20 ms away at 12 Mbit/s each way, where 1,500 bytes take 1 ms and a byte 2/3 us, each packet rounded up to a nanosecond;
a code of 64 bytes in a body of 102, an answer of 2,093. TCP's headers are 52 bytes and its packets 1,500; QUIC's 63 and 1,228;
a TLS record adds 22.
"""

import pytest
from support.netsim_phone import Phone

from sightline_bench.netsim.clock import MS_NS
from sightline_bench.netsim.exchange import Breakdown
from sightline_bench.netsim.radio import Direction, RadioModel
from sightline_bench.netsim.stack import Session

BODY, ANSWER = 102, 2093


def stages(**ns: int) -> Breakdown:
    """The stages that are named, 0 ns for the others."""
    names = ("wake", "connect", "tls", "uplink", "queue", "server", "downlink")
    assert set(ns) <= set(names)
    return Breakdown(*(ns.get(name, 0) for name in names))


def test_a_warm_query_over_http2_and_tls() -> None:
    phone = Phone()
    found = phone.ask(phone.connect("http2"), BODY, ANSWER, server=lambda now_ns: 7 * MS_NS)
    # Up: 102, a head of 10 and two frames of 9, a record: 152 bytes, a packet of 204. Down: 2,093, 30 and 18, a record: 2,163
    # bytes in packets of 1,500 and 715 + 52 = 767, which take 1 ms and 511,333.3 ns.
    assert found == stages(uplink=20_136_000, server=7_000_000, downlink=20_000_000 + 1_000_000 + 511_334)
    assert found.total_ns == 48_647_334
    # The answer carries the service's acknowledgement, and one of 52 is for both of its packets.
    up, down = phone.wire.counts[Direction.UP], phone.wire.counts[Direction.DOWN]
    assert (up.packets, up.size_bytes) == (2, 204 + 52)
    assert (down.packets, down.size_bytes) == (2, 1500 + 767)


def test_a_cold_query_over_http2_and_tls() -> None:
    phone = Phone()
    found = phone.ask(phone.connect("http2", Session.COLD), BODY, ANSWER)
    assert found == stages(
        # Two greetings of 60 bytes: 40,000 ns each.
        connect=40_080_000,
        # Hello of 517, 569 with headers, behind the last acknowledgement of TCP's handshake (52 bytes); 2,272 down in packets of
        # 1,500 and 876.
        tls=40_000_000 + 34_667 + 379_334 + 1_000_000 + 584_000,
        # Finished of 80 in a packet of 132; 102, a head of 124, frames of 18, 64 of settings, a record of 22: a packet of 382.
        uplink=20_000_000 + 88_000 + 254_667,
        # 2,093, a head of 77, frames of 18, 45 of settings, a record of 22: 2,255 in packets of 1,500 and 859; behind the tickets
        # of 510, which take 374,667 ns and began 254,667 ns before.
        downlink=20_000_000 + 120_000 + 1_000_000 + 572_667,
    )
    assert found.total_ns == 124_113_335


def test_a_cold_query_over_quic() -> None:
    phone = Phone()
    found = phone.ask(phone.connect("http3", Session.COLD), BODY, ANSWER)
    assert found == stages(
        # A hello that fills its packet of 1,228; 2,272 down in packets of 1,228 and 1,107 + 63.
        tls=40_000_000 + 818_667 + 818_667 + 780_000,
        # Finished of 80 + 63; 102, a head of 124, frames of 6, 20 of settings: 252 + 63.
        uplink=20_000_000 + 95_334 + 210_000,
        # 2,093, 77, 6 and 20: 2,196 in packets of 1,228 and 1,031 + 63; behind tickets of 510 + 63, which take 382,000 ns and began
        # 210,000 ns before.
        downlink=20_000_000 + 172_000 + 818_667 + 729_334,
    )
    assert found.total_ns == 84_442_669


def test_a_query_with_quics_first_packets() -> None:
    phone = Phone()
    found = phone.ask(phone.connect("http3", Session.RESUMED_EARLY), BODY, ANSWER)
    # Hello of 1,165 and 252 of the query in packets of 1,228 and 315. The greeting of 241 + 63 has left before the query is there.
    assert found == stages(uplink=20_000_000 + 818_667 + 210_000, downlink=20_000_000 + 818_667 + 729_334)
    assert found.total_ns == 42_576_668


def test_a_photograph_of_40_kb_takes_a_second_flight() -> None:
    # At 120 Mbit/s up a packet takes 100 us. 40,102, a head of 28 and three records of 22: 40,196 bytes, 27 packets and one of
    # 1,100 + 52, which takes 76,800 ns. Ten go at once; the first two are acknowledged together (52 bytes at 12 Mbit/s) after
    # 40,234,667 ns, and from then on four packets go for each acknowledgement, 200 us apart: the link always has something to send.
    phone = Phone(up_mbit=120)
    found = phone.ask(phone.connect("http2"), 40_102, ANSWER)
    assert found.uplink_ns == 40_234_667 + 17 * 100_000 + 76_800 + 20_000_000


def test_a_photograph_of_120_kb_takes_four_flights() -> None:
    # At 1.2 Gbit/s a packet takes 10 us and an acknowledgement 347 ns. 120,102, 28 and eight records: 120,306 bytes, 83 packets and
    # one of 122 + 52, which takes 1,160 ns: flights of 10, 20, 40 and 14 packets. Each begins when the first two packets of the
    # one before are acknowledged.
    phone = Phone(up_mbit=1200, down_mbit=1200)
    found = phone.ask(phone.connect("http2"), 120_102, ANSWER)
    assert found.uplink_ns == 3 * (2 * 10_000 + 20_000_000 + 347 + 20_000_000) + 13 * 10_000 + 1_160 + 20_000_000
    assert phone.wire.counts[Direction.UP].dropped == 0


def test_a_queue_that_fills_costs_a_probe_and_a_round_trip() -> None:
    # Ten packets of 1 ms each into room for six: the last four are dropped, and nothing follows that would show it.
    phone = Phone(room=6)
    found = phone.ask(phone.connect(), 96, 10 * 1448 - 145)
    # Every second packet is acknowledged, the k-th after 40 + k ms and 34,667 ns for the 52 bytes; RFC 6298 makes the smoothed
    # round trip of it.
    smoothed_ns = 40 * MS_NS
    for packet in (2, 4, 6):
        smoothed_ns += ((40 + packet) * MS_NS + 34_667 - smoothed_ns) // 8
    # Two of these and two ticks of 4 ms later the last packet goes once more, is acknowledged at once, since it is out of order, and
    # shows that the three before it are gone: they follow one another.
    probe_ns = 46_034_667 + 2 * smoothed_ns + 8 * MS_NS
    assert found.downlink_ns == probe_ns + 41_034_667 + 23_000_000
    assert phone.wire.counts[Direction.DOWN].dropped == 4


def test_a_probe_waits_for_no_packet_that_is_alone() -> None:
    # One packet's timer, 40 + 200 ms, comes before two round trips and the least timer would.
    lossless, lossy = Phone(), Phone(lost_up={0})
    times = [phone.ask(phone.connect(), BODY, ANSWER).total_ns for phone in (lossless, lossy)]
    assert times[1] - times[0] == 240 * MS_NS


def test_a_radio_that_wakes_up_makes_no_timeout_of_an_upload() -> None:
    # 250 ms of waking, a timer of 240: the probe after 88 ms puts it off, and is the eleventh packet of the first flight.
    radio = RadioModel(MS_NS, 0, 10_000 * MS_NS, 250 * MS_NS, 0)
    awake, asleep = Phone(up_mbit=1200, down_mbit=1200), Phone(up_mbit=1200, down_mbit=1200, radio=radio)
    for phone in (awake, asleep):
        phone.ask(phone.connect(), 40_000, ANSWER)
    packets = [phone.wire.counts[Direction.UP].packets for phone in (awake, asleep)]
    assert packets[0] == packets[1]  # nothing was sent twice


@pytest.mark.parametrize(("others", "waits_ns"), [(1, 1_000_000), (5, 5_000_000)])
def test_a_queue_of_other_phones_is_waited_for_and_named(others: int, waits_ns: int) -> None:
    quiet, busy = Phone(), Phone()
    for _ in range(others):
        busy.cell.links[Direction.UP].offer(0, 1500)
    alone, among = (phone.ask(phone.connect("http2"), BODY, ANSWER) for phone in (quiet, busy))
    assert among.queue_ns == waits_ns and among.total_ns == alone.total_ns + waits_ns
