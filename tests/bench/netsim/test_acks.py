"""When packets are acknowledged: at once, every second, with an answer, or after a while; and what the wait costs, by hand."""

import pytest
from support.netsim_phone import Phone

from sightline_bench.netsim.acks import Acknowledgements
from sightline_bench.netsim.clock import MS_NS, VirtualTime
from sightline_bench.netsim.radio import Direction
from sightline_bench.netsim.stack import QUIC, TCP, Session

UP, DOWN = Direction.UP, Direction.DOWN
FULL = TCP.mss_bytes


class End:
    """One end that only listens; `sent` are the instants, in ms, of acknowledgements that went alone."""

    def __init__(self, framing=TCP, *, converses: bool = True) -> None:
        self.time, self.sent = VirtualTime(), []
        self.acks = Acknowledgements(self.time, framing, self._send, converses=converses)

    def _send(self) -> None:
        assert self.acks.take()
        self.sent.append(self.time.now_ns / MS_NS)

    def comes(self, at_ms: float, size_bytes: int = FULL, *, in_order: bool = True) -> None:
        self.time.at(round(at_ms * MS_NS), lambda: self.acks.note(lambda: None, size_bytes, in_order=in_order))


def test_the_second_whole_packet_is_acknowledged_at_once_and_a_lone_one_after_the_delay() -> None:
    end = End()
    for at_ms in (0, 1, 2):
        end.comes(at_ms)
    end.time.run()
    assert end.sent == [1.0, 42.0]


@pytest.mark.parametrize(("framing", "after_ms"), [(TCP, 40.0), (QUIC, 25.0)])
def test_small_packets_wait_together_for_the_first_ones_delay(framing, after_ms: float) -> None:
    end = End(framing)
    for at_ms in (0, 3, 6):
        end.comes(at_ms, 100)
    end.time.run()
    assert end.sent == [after_ms]


def test_what_comes_out_of_order_is_acknowledged_at_once() -> None:
    end = End()
    end.comes(5, 100, in_order=False)
    end.time.run()
    assert end.sent == [5.0]


def test_who_only_listens_acknowledges_sixteen_times_at_once() -> None:
    end = End(converses=False)
    for at_ms in range(18):
        end.comes(at_ms, 100)
    end.time.run()
    assert end.sent == [*map(float, range(16)), 56.0]


def test_who_answers_soon_converses_from_then_on_and_its_answer_carries_the_acknowledgement() -> None:
    end = End(converses=False)
    end.comes(0, 100)

    def answer() -> None:
        end.acks.answers()
        assert end.acks.take()

    end.time.at(0, answer)
    end.comes(10, 100)
    end.time.run()
    assert end.sent == [50.0]


def test_who_answers_late_still_only_listens() -> None:
    end = End(converses=False)
    end.comes(0, 100)
    end.time.at(41 * MS_NS, end.acks.answers)
    end.comes(50, 100)
    end.time.run()
    assert end.sent == [0.0, 50.0]


def test_an_odd_packet_costs_a_cold_upload_a_third_round_trip() -> None:
    # After the handshake the service has conversed. Of ten packets Finished's is acknowledged with the tickets and lets out two,
    # nine data packets are acknowledged in pairs, which let out four each, and the ninth waits: 9 + 2 + 16 = 27 data packets
    # leave in two rounds. One more has to wait for the first acknowledgement of the second round. The line is fast.
    def uplink_ns(packets: int) -> int:
        phone = Phone(up_mbit=1200, down_mbit=1200)
        overhead_bytes = 275 + 2 * 22 + (22 if packets * FULL > 2 * 16_384 else 0)
        return phone.ask(phone.connect("http1", Session.COLD), packets * FULL - overhead_bytes, 600).uplink_ns

    two_rounds, three_rounds = uplink_ns(27), uplink_ns(28)
    assert two_rounds == pytest.approx(60 * MS_NS, abs=MS_NS)
    assert three_rounds == pytest.approx(100 * MS_NS, abs=MS_NS)
