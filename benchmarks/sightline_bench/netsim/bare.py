"""Bare exchanges through the proxy, as `kernel.through` has them through TUN devices: needs no root, and says how far the proxy is off."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from sightline_bench.netsim.endpoint import HEAD
from sightline_bench.netsim.profiles import Profile
from sightline_bench.netsim.proxy import proxied

HOST = "127.0.0.1"
# So that nothing of an exchange is still under way when the next begins.
PAUSE_S = 0.05

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True)
class Measured:
    """Milliseconds by `"cold 512"`, ...; `late_ms` is the proxy's lateness at p99, and `is_good` whether it may be so late."""

    ms: dict[str, list[float]]
    late_ms: float
    is_good: bool


def measured(profile: Profile, sizes: Sequence[int], down_bytes: int, n: int, seed: int = 0) -> Measured:
    """Ask `n` times with each of `sizes` bytes up, 8 at least, on a new connection (`cold`) and on one that was used (`warm`)."""
    return asyncio.run(_measured(profile, sizes, down_bytes, n, seed))


async def _measured(profile: Profile, sizes: Sequence[int], down_bytes: int, n: int, seed: int) -> Measured:
    found: dict[str, list[float]] = {}
    async with await asyncio.start_server(_serve, HOST, 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with proxied(profile, HOST, port, seed=seed) as proxy:
            for size in sizes:
                for _ in range(n):
                    cold_ms, warm_ms = await _asked(proxy.port, size, down_bytes)
                    found.setdefault(f"cold {size}", []).append(cold_ms)
                    found.setdefault(f"warm {size}", []).append(warm_ms)
    return Measured(found, proxy.late_ms, proxy.is_good)


async def _asked(port: int, up_bytes: int, down_bytes: int) -> tuple[float, float]:
    """Return the milliseconds of an exchange with the opening of its connection, and of another on the same one."""
    began = time.perf_counter()
    ends = await asyncio.open_connection(HOST, port)
    await _exchange(ends, up_bytes, down_bytes)
    cold_ms = 1000 * (time.perf_counter() - began)
    await asyncio.sleep(PAUSE_S)
    began = time.perf_counter()
    await _exchange(ends, up_bytes, down_bytes)
    warm_ms = 1000 * (time.perf_counter() - began)
    ends[1].close()
    await ends[1].wait_closed()
    return cold_ms, warm_ms


async def _exchange(ends: Ends, up_bytes: int, down_bytes: int) -> None:
    ends[1].write(HEAD.pack(up_bytes, down_bytes) + bytes(up_bytes - HEAD.size))
    await ends[0].readexactly(down_bytes)


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer what `_exchange` asks until the other side ends."""
    try:
        while True:
            up_bytes, down_bytes = HEAD.unpack(await reader.readexactly(HEAD.size))
            await reader.readexactly(up_bytes - HEAD.size)
            writer.write(bytes(down_bytes))
    except asyncio.IncompleteReadError:
        writer.close()
