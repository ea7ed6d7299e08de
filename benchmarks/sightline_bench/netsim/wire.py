"""One phone's way through a cell in virtual time: radio, link, wire; it counts what passes and notes what waited."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sightline_bench.netsim.cell import Cell
from sightline_bench.netsim.clock import VirtualTime
from sightline_bench.netsim.link import Dropped
from sightline_bench.netsim.radio import Direction, RadioState


@dataclass
class Count:
    """What was sent in one direction, lost packets and all headers included."""

    packets: int = 0
    size_bytes: int = 0
    dropped: int = 0


@dataclass
class Waits:
    """How long the first packet of a stage waited for the radio, and then for the packets before it, be they its own phone's."""

    wake_ns: int = 0
    queue_ns: int = 0


class Wire:
    """Sends packets both ways; `arrive` is called when a packet arrives, and never when it does not."""

    def __init__(self, time: VirtualTime, cell: Cell, radio: RadioState) -> None:
        self.time, self.radio = time, radio
        self._cell = cell
        self.counts = {direction: Count() for direction in Direction}
        self._next: Waits | None = None

    def stage(self) -> Waits:
        """Return what the next packet's waits will be written to."""
        self._next = Waits()
        return self._next

    def send(self, direction: Direction, size_bytes: int, arrive: Callable[[], None]) -> None:
        count = self.counts[direction]
        count.packets += 1
        count.size_bytes += size_bytes
        waits, self._next = self._next or Waits(), None
        before_ns = self._cell.before_ns(direction)
        if before_ns:
            self.time.after(before_ns, lambda: self._reach(direction, size_bytes, arrive, waits))
        else:
            self._reach(direction, size_bytes, arrive, waits)

    def _reach(self, direction: Direction, size_bytes: int, arrive: Callable[[], None], waits: Waits) -> None:
        """A packet is at the radio."""
        ready_ns = self.radio.gate(self.time.now_ns, direction)
        waits.wake_ns = ready_ns - self.time.now_ns
        if waits.wake_ns:
            self.time.at(ready_ns, lambda: self._cross(direction, size_bytes, arrive, waits))
        else:
            self._cross(direction, size_bytes, arrive, waits)

    def _cross(self, direction: Direction, size_bytes: int, arrive: Callable[[], None], waits: Waits) -> None:
        """A packet is at the link."""
        link, now_ns = self._cell.links[direction], self.time.now_ns
        waits.queue_ns = link.backlog_ns(now_ns)
        arrives_ns = link.offer(now_ns, size_bytes)
        if isinstance(arrives_ns, Dropped):
            self.counts[direction].dropped += 1
        else:
            self.radio.use(now_ns + link.backlog_ns(now_ns))
            self.time.at(arrives_ns, arrive)
