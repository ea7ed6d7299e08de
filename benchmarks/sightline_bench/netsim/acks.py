"""When an end of a connection acknowledges what came: at once, or with what goes back soon."""

from __future__ import annotations

from collections.abc import Callable

from sightline_bench.netsim.clock import Timer, VirtualTime
from sightline_bench.netsim.stack import Framing

Act = Callable[[], None]


class Acknowledgements:
    """What one end has not acknowledged yet; `send` puts an acknowledgement on its way alone.

    At once: what came out of order, more than one packet's worth of bytes, and the first packets of a connection as long as this
    end only listens. Everything else waits for data that go the other way, for as long as `Framing.ack_delay_ns` (RFC 1122,
    4.2.3.2; RFC 9000, 13.2.1; Linux's tcp_input.c for the first packets). `converses`: this end has answered before.
    """

    def __init__(self, time: VirtualTime, framing: Framing, send: Callable[[], None], *, converses: bool) -> None:
        self._time, self._framing, self._send, self._converses = time, framing, send, converses
        self._quick = framing.quick_acks
        self._last: Act | None = None
        self._unacknowledged_bytes = 0
        self._came_ns: int | None = None
        self._timer: Timer | None = None

    def note(self, ack: Act, size_bytes: int, *, in_order: bool) -> None:
        """A segment came; `ack` tells the sender of it and of all before it."""
        self._last, self._came_ns = ack, self._time.now_ns
        self._unacknowledged_bytes += size_bytes
        is_listening = not self._converses and self._quick > 0
        if not in_order or is_listening or self._unacknowledged_bytes > self._framing.mss_bytes:
            # After what is done at this very instant: an answer that is written now carries it.
            self._wait(0)
        elif self._timer is None:
            self._wait(self._framing.ack_delay_ns)

    def take(self) -> Act | None:
        """Return what a packet that goes back now carries."""
        if self._timer:
            self._timer.cancel()
        ack, self._last, self._timer, self._unacknowledged_bytes = self._last, None, None, 0
        self._quick -= ack is not None
        return ack

    def answers(self) -> None:
        """This end sends data."""
        if self._came_ns is not None and self._time.now_ns - self._came_ns < self._framing.ack_delay_ns:
            self._converses = True

    def _wait(self, delay_ns: int) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = self._time.after(delay_ns, self._send)
