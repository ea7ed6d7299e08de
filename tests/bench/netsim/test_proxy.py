"""The proxy: everything arrives, whole and in order and never too soon; one queue for all; ends are passed on; lateness is told."""

import asyncio
import gc
import itertools
import os
import socket
import struct
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import replace

import pytest

from sightline_bench.netsim.deviation import as_markdown, deviation
from sightline_bench.netsim.loss import GilbertElliott
from sightline_bench.netsim.profiles import AWAKE, Profile
from sightline_bench.netsim.proxy import LATE_MS, Proxy, Way, proxied
from sightline_bench.netsim.radio import Direction
from sightline_bench.netsim.stack import SYN_BYTES, TCP

NEAR = Profile("near", "Near", "made for a test", 4.0, 100.0, 100.0, 0.0, 100, None, "", AWAKE)
# Nothing listens there.
NOBODY = 9
# For what must come, however slow the machine is.
PATIENCE_S = 30

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Ask = Callable[[Proxy], Awaitable[None]]


@pytest.fixture(autouse=True)
def no_task_fails_unseen(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    gc.collect()  # asyncio tells of a task's error when the task goes
    assert not caplog.records


def through(profile: Profile, serve: Serve, ask: Ask, seed: int = 0) -> None:
    """Run `ask` against `serve` with `profile` between them."""

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        finally:
            writer.close()

    async def both() -> None:
        async with await asyncio.start_server(served, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            async with proxied(profile, "127.0.0.1", port, seed=seed) as proxy:
                await asyncio.wait_for(ask(proxy), PATIENCE_S)

    asyncio.run(both())


async def exchanged(proxy: Proxy, sent: bytes) -> bytes:
    """Send everything, and read until the other side ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(sent)
    try:
        return await reader.read()
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


def echo(size: int) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readexactly(size))
        await writer.drain()

    return serve


@pytest.mark.parametrize("seed", [1, 2])
def test_bytes_arrive_whole_and_in_order_however_many_packets_were_lost(seed: int) -> None:
    rough = replace(NEAR, jitter_ms=1.0, loss=GilbertElliott.of(0.1, 2))
    sent = os.urandom(60_000)

    async def ask(proxy: Proxy) -> None:
        began = time.monotonic()
        assert await exchanged(proxy, sent) == sent
        # Of these seeds' first 42 packets some are lost, and nothing comes back before they were sent again.
        assert time.monotonic() - began >= 0.204

    through(rough, echo(len(sent)), ask, seed)


@pytest.mark.parametrize("size", [1, 1448, 40_000])
def test_an_exchange_takes_a_round_trip_to_open_one_to_ask_and_the_bytes_over_the_rate(size: int) -> None:
    slow = replace(NEAR, round_trip_ms=30.0, up=20.0, down=10.0)
    sent = os.urandom(size)

    async def ask(proxy: Proxy) -> None:
        began = time.monotonic()
        assert await exchanged(proxy, sent) == sent
        took_ms = 1000 * (time.monotonic() - began)
        # All of it up before the service answers; then at least all of it down. An end of 52 bytes comes last.
        wire_bytes = size + -(-size // TCP.mss_bytes) * TCP.header_bytes
        opening_ms = 30 + 8 * SYN_BYTES * (1 / 20e3 + 1 / 10e3)
        assert took_ms >= opening_ms + 30 + 8 * wire_bytes * (1 / 20e3 + 1 / 10e3) + 8 * TCP.header_bytes / 10e3

    through(slow, echo(size), ask)


def test_two_connections_wait_in_one_queue_and_what_it_drops_is_sent_again() -> None:
    # Room for 10 packets, and each connection has 10 under way: together they overflow it.
    narrow = replace(NEAR, up=1.0, queue_packets=10)
    sent = os.urandom(30_000)

    async def ask(proxy: Proxy) -> None:
        began = time.monotonic()
        assert await asyncio.gather(exchanged(proxy, sent), exchanged(proxy, sent)) == [sent, sent]
        assert time.monotonic() - began >= 2 * 8 * len(sent) / 1e6

    through(narrow, echo(len(sent)), ask)


def test_a_side_that_has_said_everything_is_still_answered() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"all of " + await reader.read())  # until the end of what the client says

    async def ask(proxy: Proxy) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"it")
        writer.write_eof()
        assert await reader.read() == b"all of it"
        writer.close()
        await writer.wait_closed()

    through(NEAR, serve, ask)


def test_a_service_that_refuses_ends_the_connection_after_a_round_trip() -> None:
    async def ask() -> None:
        async with proxied(replace(NEAR, round_trip_ms=30.0), "127.0.0.1", NOBODY) as proxy:
            began = time.monotonic()
            assert await asyncio.wait_for(exchanged(proxy, b"x"), PATIENCE_S) == b""
            assert time.monotonic() - began >= 0.030

    asyncio.run(ask())


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection as a process that is killed does: at once, with bytes unread."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def test_a_service_that_breaks_off_ends_the_clients_connection() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)
        reset(writer)

    async def ask(proxy: Proxy) -> None:
        assert await exchanged(proxy, b"x") == b""

    through(NEAR, serve, ask)


def test_a_client_that_breaks_off_ends_the_services_connection() -> None:
    told = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"!")
        with suppress(OSError):
            assert await reader.read() == b"x"
        told.set()

    async def ask(proxy: Proxy) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"x")
        await reader.readexactly(1)
        reset(writer)
        await told.wait()

    through(NEAR, serve, ask)


def test_connections_that_are_open_at_the_end_are_ended() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def ask() -> None:
        async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
            async with proxied(NEAR, "127.0.0.1", server.sockets[0].getsockname()[1]) as proxy:
                asking = asyncio.create_task(exchanged(proxy, b"x"))
                while proxy.pace.time.due_ns is None:  # it has begun
                    await asyncio.sleep(0)
            assert await asyncio.wait_for(asking, PATIENCE_S) == b""

    asyncio.run(ask())


class Endless(asyncio.StreamReader):
    """Has always more to read, and counts how often it was asked."""

    reads = 0

    async def read(self, n: int = -1) -> bytes:
        await asyncio.sleep(0)
        self.reads += 1
        return bytes(n)


class Sink:
    """Stands for a writer; takes bytes when `takes` is set."""

    def __init__(self) -> None:
        self.takes = asyncio.Event()

    def is_closing(self) -> bool:
        return False

    async def drain(self) -> None:
        await self.takes.wait()


def test_no_more_than_a_queue_is_read_ahead_and_nothing_for_a_side_that_takes_nothing() -> None:
    far = replace(NEAR, round_trip_ms=20_000.0, queue_packets=7)

    async def turns(n: int) -> None:
        for _ in range(n):
            await asyncio.sleep(0)

    async def carry() -> None:
        reader, writer = Endless(), Sink()
        way = Way(Proxy(far, "127.0.0.1", NOBODY, 0), Direction.UP, reader, writer)  # type: ignore[arg-type]
        task = asyncio.create_task(way.carry())
        await turns(100)
        assert reader.reads == 1
        writer.takes.set()
        await turns(100)
        assert reader.reads == 7
        task.cancel()

    asyncio.run(carry())


def test_a_loop_that_was_busy_says_how_late_it_was() -> None:
    async def ask(proxy: Proxy) -> None:
        asking = asyncio.create_task(exchanged(proxy, b"x"))
        while proxy.pace.time.due_ns is None:
            await asyncio.sleep(0)
        due_ns = proxy.pace.time.due_ns
        # Keeps the loop to itself until 10 ms after the packet is due.
        next(late for late in itertools.repeat(0) if proxy.pace.late_ns() > due_ns - proxy.pace.time.now_ns + 10**7)
        assert await asking == b"x"
        assert proxy.late_ms > LATE_MS and not proxy.is_good

    through(NEAR, echo(1), ask)


def test_how_far_it_is_off_is_told_cell_by_cell() -> None:
    steps: list[None] = []
    found, samples = deviation([NEAR], [64, 3000], 3, 0, lambda: steps.append(None))
    cells = found["near"]["cells"]
    assert list(cells) == ["cold 64 B", "cold 3000 B", "warm 64 B", "warm 3000 B"] and len(steps) == 1
    assert all(len(ms) == 3 for ms in samples.values()) and len(samples) == 4
    # What fits the first window cannot come sooner than in virtual time.
    assert cells["warm 64 B"]["proxy_to_model"] >= 0.999 and cells["warm 3000 B"]["proxy_to_model"] >= 0.999
    late = {"near": {**found["near"], "late_p99_ms": 7.0, "in_time": False}}
    assert "| **7.00** | warm 64 B |" in as_markdown(late) and "**" not in as_markdown(
        found | {"near": {**found["near"], "in_time": True}}
    )
