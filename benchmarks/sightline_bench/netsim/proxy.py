"""A mobile network as a TCP proxy, for where the kernel gives no TUN devices: the same links in real time, without TCP's own ways.

Bytes cross the profile's own cell in packets, as the model's do: radio (awake), queue, rate, jitter and losses are those of `Link`,
shared by all connections. To open one takes a round trip; the order is kept; what the queue or the air dropped is sent again after
the round trip and the 200 ms of Linux, doubled each time (a connection's first packets after a second, doubled). One direction of a
connection has a queue's worth of packets under way at most, and reads no further until the other side takes them.

Right for one packet each way and too fast for more: no slow start, no acknowledgements that take their share of the other way, no
handshake of TLS. A window of a queue a round trip bounds large transfers instead of a congestion window.

The proxy runs in the caller's event loop, and says how late it handed packets on. It cannot see how long it was kept from reading:
a client in the same loop must leave it free while it waits.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from sightline_bench.netsim.clock import MS_NS, SECOND_NS, VirtualTime
from sightline_bench.netsim.lateness import Lateness
from sightline_bench.netsim.profiles import AWAKE, Profile
from sightline_bench.netsim.radio import Direction, RadioState
from sightline_bench.netsim.stack import SYN_BYTES, TCP
from sightline_bench.netsim.stream import INITIAL_TIMER_NS, LONGEST_TIMER_NS
from sightline_bench.netsim.wire import Wire

BACK_END = "proxy"
ABOUT = (
    "Through a TCP proxy over the links of `bench network`: right for one packet each way, too fast for larger transfers "
    "(no slow start, no acknowledgements, no TLS; NETSIM.md says by how much)."
)
# The loop does other work between two packets; the emulator, which does not, is held to 1 ms.
LATE_MS = 2.0
# The event loop waits in whole milliseconds: the last one is spent in asking whether it is time.
EARLY_NS = MS_NS

Act = Callable[[], None]


class Proxy:
    """One phone's network before a service: listens at `port`, and keeps how late it was."""

    def __init__(self, profile: Profile, host: str, port: int, seed: int) -> None:
        self.port = 0
        self._host, self._service_port = host, port
        self.pace = Pace()
        self._wire = Wire(self.pace.time, profile.cell(seed), RadioState(AWAKE))
        self.window = profile.queue_packets
        self.again_after_ns = round(profile.round_trip_ms * MS_NS) + TCP.least_timer_ns
        self._lateness = Lateness(most_ms=LATE_MS)
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def late_ms(self) -> float:
        """The milliseconds below which 99 % of the packets so far were late."""
        return self._lateness.worst_ms

    @property
    def is_good(self) -> bool:
        """Whether times measured through this proxy mean anything."""
        return self._lateness.is_good

    def send(self, direction: Direction, size_bytes: int, arrived: Act, timer_ns: int) -> None:
        """Bring a packet to the other end for certain: what was dropped is sent again `timer_ns` after it was."""
        self.pace.catch_up()
        self._send(direction, size_bytes, arrived, timer_ns)
        self.pace.catch_up()

    def _send(self, direction: Direction, size_bytes: int, arrived: Act, timer_ns: int) -> None:
        virtual = self.pace.time
        again_ns = virtual.now_ns + timer_ns

        def arrive() -> None:
            self._lateness.ns.append(self.pace.late_ns())
            arrived()

        def lose() -> None:
            later_ns = min(LONGEST_TIMER_NS, 2 * timer_ns)
            virtual.at(again_ns, lambda: self._send(direction, size_bytes, arrived, later_ns))

        self._wire.send(direction, size_bytes, arrive, lose)

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Begin to carry a connection."""
        task = asyncio.create_task(self._carry(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection until both sides have ended it, or one is gone."""
        writers = [writer]
        try:
            answers = await self._opened(writers)
            if answers:
                async with asyncio.TaskGroup() as both:
                    both.create_task(Way(self, Direction.UP, reader, writers[-1]).carry())
                    both.create_task(Way(self, Direction.DOWN, answers, writer).carry())
        except* OSError:  # one of the two is gone; the other is told by the end of its connection
            pass
        finally:
            for one in writers:
                one.close()
            for one in writers:
                with suppress(OSError):
                    await one.wait_closed()

    async def _opened(self, writers: list[asyncio.StreamWriter]) -> asyncio.StreamReader | None:
        """Take the time of a handshake, which loopback did at once, and add the service's writer to `writers`.

        Returns its reader; None, and not sooner, where the service refuses.
        """
        reader = None
        await self._crossed(Direction.UP)
        with suppress(OSError):
            reader, writer = await asyncio.open_connection(self._host, self._service_port)
            writers.append(writer)
        await self._crossed(Direction.DOWN)
        return reader

    async def _crossed(self, direction: Direction) -> None:
        there = asyncio.Event()
        self.send(direction, SYN_BYTES, there.set, INITIAL_TIMER_NS)
        await there.wait()

    async def ended(self) -> None:
        """End all connections."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.pace.stop()


class Way:
    """One direction of one connection."""

    def __init__(
        self, proxy: Proxy, direction: Direction, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._proxy, self._direction, self._reader, self._writer = proxy, direction, reader, writer
        self._room = asyncio.Semaphore(proxy.window)
        self._sent = self._passed = 0
        # By number, what waits for an earlier packet.
        self._there: dict[int, bytes] = {}
        self._ended = asyncio.Event()

    async def carry(self) -> None:
        """Pass on all bytes, and then that there are no more. Raises OSError when either side is gone."""
        chunk = b"-"
        while chunk:
            await self._room.acquire()
            chunk = await self._reader.read(TCP.mss_bytes)
            self._send(chunk)
            await self._writer.drain()
        await self._ended.wait()
        self._writer.write_eof()

    def _send(self, chunk: bytes) -> None:
        number, self._sent = self._sent, self._sent + 1
        size_bytes = len(chunk) + TCP.header_bytes
        self._proxy.send(self._direction, size_bytes, lambda: self._arrive(number, chunk), self._proxy.again_after_ns)

    def _arrive(self, number: int, chunk: bytes) -> None:
        self._there[number] = chunk
        while self._passed in self._there:
            due = self._there.pop(self._passed)
            self._passed += 1
            self._room.release()
            if not due:
                self._ended.set()
            elif not self._writer.is_closing():
                self._writer.write(due)


class Pace:
    """Virtual time in step with the event loop: what is due is done when its time has come, or a little later.

    `began_ns` is the instant of the monotonic clock that is its 0.
    """

    def __init__(self) -> None:
        self.time = VirtualTime()
        self._loop = asyncio.get_running_loop()
        self.began_ns = time.monotonic_ns()
        self._next: asyncio.Handle | None = None

    def late_ns(self) -> int:
        """Return by how much what is being done is late."""
        return self._now_ns() - self.time.now_ns

    def catch_up(self) -> None:
        """Do what is due, and come back for what is not; to be called before and after something new is asked for."""
        self.stop()
        self.time.run(until_ns=self._now_ns())
        due_ns = self.time.due_ns
        if due_ns is None:
            return
        pause_ns = due_ns - EARLY_NS - self._now_ns()
        if pause_ns > 0:
            self._next = self._loop.call_later(pause_ns / SECOND_NS, self.catch_up)
        else:
            self._next = self._loop.call_soon(self.catch_up)

    def stop(self) -> None:
        """Do no more."""
        if self._next:
            self._next.cancel()

    def _now_ns(self) -> int:
        return time.monotonic_ns() - self.began_ns


@asynccontextmanager
async def proxied(profile: Profile, host: str, port: int, *, seed: int = 0) -> AsyncIterator[Proxy]:
    """Put `profile` before the service at `host`:`port`, at the yielded proxy's own `port` on 127.0.0.1.

    The same seed draws the same losses and jitter, packet by packet.
    """
    proxy = Proxy(profile, host, port, seed)
    server = await asyncio.start_server(proxy.accept, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        await proxy.ended()
        await server.wait_closed()
