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
    """How long the first packet of a stage waited for the radio, and then for packets of other phones."""

    wake_ns: int = 0
    queue_ns: int = 0


@dataclass(frozen=True, slots=True)
class _Packet:
    """What is on its way, and what is to be done when it arrives, or is lost."""

    direction: Direction
    size_bytes: int
    arrive: Callable[[], None]
    lose: Callable[[], None]
    waits: Waits


class Wire:
    """Sends packets both ways; `arrive` is called when a packet arrives, and `lose` when one is known that never will."""

    def __init__(self, time: VirtualTime, cell: Cell, radio: RadioState) -> None:
        self.time, self.radio = time, radio
        self._cell = cell
        self.counts = {direction: Count() for direction in Direction}
        # Until when this phone's own packets take the links.
        self._own_ns = dict.fromkeys(Direction, 0)
        self._next: Waits | None = None

    def stage(self) -> Waits:
        """Return what the next packet's waits will be written to."""
        self._next = Waits()
        return self._next

    def send(
        self, direction: Direction, size_bytes: int, arrive: Callable[[], None], lose: Callable[[], None] = lambda: None
    ) -> None:
        count = self.counts[direction]
        count.packets += 1
        count.size_bytes += size_bytes
        waits, self._next = self._next or Waits(), None
        packet = _Packet(direction, size_bytes, arrive, lose, waits)
        before_ns = self._cell.before_ns(direction)
        if before_ns:
            self.time.after(before_ns, lambda: self._reach(packet))
        else:
            self._reach(packet)

    def _reach(self, packet: _Packet) -> None:
        """A packet is at the radio."""
        ready_ns = self.radio.gate(self.time.now_ns, packet.direction)
        packet.waits.wake_ns = ready_ns - self.time.now_ns
        if packet.waits.wake_ns:
            self.time.at(ready_ns, lambda: self._cross(packet))
        else:
            self._cross(packet)

    def _cross(self, packet: _Packet) -> None:
        """A packet is at the link."""
        link, now_ns = self._cell.links[packet.direction], self.time.now_ns
        packet.waits.queue_ns = link.backlog_ns(now_ns) - max(0, self._own_ns[packet.direction] - now_ns)
        arrives_ns = link.offer(now_ns, packet.size_bytes)
        if isinstance(arrives_ns, Dropped):
            self.counts[packet.direction].dropped += 1
            packet.lose()
        else:
            self._own_ns[packet.direction] = now_ns + link.backlog_ns(now_ns)
            self.radio.use(self._own_ns[packet.direction])
            self.time.at(arrives_ns, packet.arrive)
