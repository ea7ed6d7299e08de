"""A connection between a phone and the service: opened when it has to be, one stream each way."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from sightline_bench.netsim.acks import Acknowledgements
from sightline_bench.netsim.clock import Timer
from sightline_bench.netsim.radio import Direction
from sightline_bench.netsim.stack import SYN_BYTES, Session, Stack
from sightline_bench.netsim.stream import INITIAL_TIMER_NS, LONGEST_TIMER_NS, Act, Stream
from sightline_bench.netsim.wire import Wire

BACK = {Direction.UP: Direction.DOWN, Direction.DOWN: Direction.UP}


class Connection:
    """Two streams over a wire; an acknowledgement rides on a packet that goes the same way, or goes alone (acks.py).

    A warm connection knows the round trip `srtt_ns` already.
    """

    def __init__(self, wire: Wire, stack: Stack, session: Session, srtt_ns: int) -> None:
        self.wire, self.stack, self.session = wire, stack, session
        self.used = session is Session.WARM
        # By the way that they go, which is the other one than that of the packets.
        self._acks = {
            direction: Acknowledgements(
                wire.time, stack.framing, partial(self._alone, direction), converses=session is Session.WARM
            )
            for direction in Direction
        }
        self._timer: Timer | None = None
        self._open = self.used or stack.framing.probes  # QUIC sends its first message at once
        self.streams = {
            direction: Stream(
                wire.time,
                stack.framing,
                self._transmit(direction),
                self._acknowledge(BACK[direction]),
                srtt_ns if self.used else None,
            )
            for direction in Direction
        }

    def open(self, opened: Act) -> None:
        """Call `opened` when TCP's handshake is done; at once where there is none to do."""
        if self._open:
            opened()
        else:
            self._syn(self.wire.time.now_ns, INITIAL_TIMER_NS, opened)

    def _syn(self, sent_ns: int, timer_ns: int, opened: Act) -> None:
        time = self.wire.time

        def answered() -> None:
            if self._open:
                return
            self._open = True
            if self._timer:
                self._timer.cancel()
            for stream in self.streams.values():
                stream.measure(time.now_ns - sent_ns)
            # Alone and at once, as kernels do; the service needs nothing of it that the next packet does not say as well.
            self.wire.send(Direction.UP, self.stack.framing.ack_bytes, lambda: None)
            opened()

        self.wire.send(Direction.UP, SYN_BYTES, lambda: self.wire.send(Direction.DOWN, SYN_BYTES, answered))
        later_ns = min(LONGEST_TIMER_NS, 2 * timer_ns)
        self._timer = time.after(timer_ns, lambda: self._syn(time.now_ns, later_ns, opened))

    def _transmit(self, direction: Direction) -> Callable[[int, Act], None]:
        acks = self._acks[direction]

        def transmit(size_bytes: int, arrive: Act) -> None:
            acks.answers()
            ack = acks.take()

            def arrived() -> None:
                if ack:
                    ack()
                arrive()

            self.wire.send(direction, size_bytes, arrived)

        return transmit

    def _acknowledge(self, direction: Direction) -> Callable[[Act, int, bool], None]:
        return lambda ack, size_bytes, in_order: self._acks[direction].note(ack, size_bytes, in_order=in_order)

    def _alone(self, direction: Direction) -> None:
        ack = self._acks[direction].take()
        if ack:
            self.wire.send(direction, self.stack.framing.ack_bytes, ack)
