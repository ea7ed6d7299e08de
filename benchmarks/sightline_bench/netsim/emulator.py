"""A cell in real time between two TUN devices: the kernel's own TCP, and everything above it, over the same links.

One loop reads what a device's side sends, asks the links when it arrives, and writes it to the other side then. How late the
loop was is kept: on a busy machine it is late, and a run that was must not be believed.
"""

from __future__ import annotations

import heapq
import os
import select
import time
from collections.abc import Callable

from sightline_bench.netsim.cell import Cell
from sightline_bench.netsim.clock import SECOND_NS
from sightline_bench.netsim.lateness import Lateness
from sightline_bench.netsim.link import Dropped
from sightline_bench.netsim.orders import Orders
from sightline_bench.netsim.radio import Direction, RadioState
from sightline_bench.netsim.tunnel import hurried

# A wait of the kernel's ends some 50 us late, and a process that slept is not on its core: the last stretch is spun away.
SPIN_NS = 300_000
MAX_PACKET_BYTES = 65_536


class Emulator:
    """Carries IPv4 packets between the device on the phone's side and the one on the service's side.

    `began_ns` is the instant of the monotonic clock that is the links' 0. With `orders` the phone says what its radio does.
    """

    def __init__(self, cell: Cell, radio: RadioState, phone: int, service: int, orders: Orders | None = None) -> None:
        self._cell, self._radio, self._orders = cell, radio, orders
        self._from = {phone: Direction.UP, service: Direction.DOWN}
        self._to = {Direction.UP: service, Direction.DOWN: phone}
        self.began_ns = time.monotonic_ns()
        self._asked = 0
        self._due: list[tuple[int, int, Callable[[], None]]] = []
        self.lateness = Lateness()

    def run(self, stop: int) -> None:
        """Carry packets until the descriptor `stop` has something to read, or is closed at its other end."""
        with hurried():
            self._carry(stop)

    def _carry(self, stop: int) -> None:
        # Orders first: what the phone sends after one is sent with the radio that it ordered.
        fds = [*([self._orders.fd] if self._orders else []), *self._from, stop]
        while True:
            ready = select.select(fds, [], [], self._pause_s())[0]
            if stop in ready:
                return
            for fd in ready:
                if fd in self._from:
                    self._read(fd)
                elif not self._obey():
                    fds.remove(fd)
            now_ns = self._now_ns()
            while self._due and self._due[0][0] <= now_ns:
                heapq.heappop(self._due)[2]()

    def _obey(self) -> bool:
        """Put the ordered radio in place; False where there will be no more orders."""
        assert self._orders is not None
        ordered = self._orders.taken(self._now_ns())
        self._radio = ordered or self._radio
        return ordered is not None

    def _now_ns(self) -> int:
        return time.monotonic_ns() - self.began_ns

    def _pause_s(self) -> float:
        if not self._due:
            return 1.0
        return max(0, self._due[0][0] - SPIN_NS - self._now_ns()) / SECOND_NS

    def _at(self, when_ns: int, act: Callable[[], None]) -> None:
        self._asked += 1
        heapq.heappush(self._due, (when_ns, self._asked, act))

    def _read(self, fd: int) -> None:
        """Take a packet from a device."""
        direction = self._from[fd]
        packet = os.read(fd, MAX_PACKET_BYTES)
        if packet and packet[0] >> 4 == 4:  # the kernel greets IPv6 routers as well
            reaches_ns = self._now_ns() + self._cell.before_ns(direction)
            self._at(reaches_ns, lambda: self._reach(reaches_ns, direction, packet))

    def _reach(self, now_ns: int, direction: Direction, packet: bytes) -> None:
        """A packet is at the radio. Times are the model's own: that the loop is late does not add up."""
        ready_ns = self._radio.gate(now_ns, direction)
        self._at(ready_ns, lambda: self._cross(ready_ns, direction, packet))

    def _cross(self, now_ns: int, direction: Direction, packet: bytes) -> None:
        """A packet is at the link."""
        link = self._cell.links[direction]
        arrives_ns = link.offer(now_ns, len(packet))
        if not isinstance(arrives_ns, Dropped):
            self._radio.use(now_ns + link.backlog_ns(now_ns))
            self._at(arrives_ns, lambda: self._write(arrives_ns, direction, packet))

    def _write(self, due_ns: int, direction: Direction, packet: bytes) -> None:
        self.lateness.ns.append(self._now_ns() - due_ns)
        os.write(self._to[direction], packet)
