"""A TCP proxy that is late, for exchanges of one packet each way; a stand-in until the emulator, and no more than that.

It models the round trip, the rate, and one round trip for opening a connection (TCP; with TLS there would be another). It
models no loss, no radio that wakes up, no slow start: larger transfers come out too fast.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

CHUNK = 4096


@dataclass(frozen=True)
class Profile:
    """A network as published: round trip in ms, rates in Mbit/s; see facts.md section 5 for the sources."""

    name: str
    round_trip_ms: float
    down_mbit: float
    up_mbit: float


PROFILES = (
    Profile("5G (Ofcom UK 2024)", 19, 166, 21),
    Profile("LTE (Opensignal US 2019)", 55, 21.3, 6.3),
    Profile("slow 4G (Lighthouse)", 150, 1.6, 0.75),
    Profile("3G (Lighthouse)", 300, 0.7, 0.7),
    Profile("EDGE (WebPageTest)", 840, 0.24, 0.2),
)


@asynccontextmanager
async def late(profile: Profile, host: str, port: int) -> AsyncIterator[int]:
    """Run the proxy before the service at `host`:`port`; yields the proxy's port."""
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        writers = [writer]
        try:
            await asyncio.sleep(profile.round_trip_ms / 1000)  # the handshake, which loopback did at once
            theirs, ours = await asyncio.open_connection(host, port)
            writers.append(ours)
            await asyncio.gather(
                _carry(reader, ours, profile.round_trip_ms / 2, profile.up_mbit),
                _carry(theirs, writer, profile.round_trip_ms / 2, profile.down_mbit),
            )
        except OSError:  # one of the two is gone; the other is told by the end of its connection
            pass
        finally:
            for one in writers:
                one.close()
            for one in writers:
                with suppress(OSError):
                    await one.wait_closed()
            tasks.discard(task)

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay_ms: float, mbit: float) -> None:
    """Pass bytes on, each chunk after the delay and the time that the line takes for it; several may be under way."""
    loop = asyncio.get_running_loop()
    free_at = loop.time()
    under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def deliver() -> None:
        while True:
            due, chunk = await under_way.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            if not chunk:
                writer.write_eof()
                return
            writer.write(chunk)

    delivering = asyncio.ensure_future(deliver())
    try:
        while True:
            chunk = await reader.read(CHUNK)
            free_at = max(free_at, loop.time()) + 8 * len(chunk) / (1e6 * mbit)
            under_way.put_nowait((free_at + delay_ms / 1000, chunk))
            if not chunk:
                break
        await delivering
    finally:
        delivering.cancel()
