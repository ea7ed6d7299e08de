"""Both sides of a comparison in ordinary processes with the proxy between them, for where there are no TUN devices."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from sightline_bench.netsim.kernel import Measured
from sightline_bench.netsim.product import LOCALHOST, MAX_GREETING_BYTES
from sightline_bench.netsim.profiles import Profile
from sightline_bench.netsim.proxy import proxied
from sightline_bench.netsim.radio import Direction
from sightline_bench.netsim.traces import Trace
from sightline_shared.errors import InputError

Side = tuple[asyncio.subprocess.Process, socket.socket]


def through_proxy(profile: Profile, plan: Mapping[str, Any], seed: int, traces: Mapping[Direction, Trace]) -> Measured:
    """Run a plan of `product` with `profile`, its radio awake, between the sides; raises InputError with traces, and when a side fails."""
    if traces:
        raise InputError("proxy: expected networks of one rate, got a trace.", hint="Traces want --back-end tun.")
    return asyncio.run(_through(profile, json.dumps(plan), seed))


async def _through(profile: Profile, plan: str, seed: int) -> Measured:
    loop = asyncio.get_running_loop()
    async with _side("serve", plan) as (_, service), _side("ask", plan) as (asking, phone):
        greeting = (await loop.sock_recv(service, MAX_GREETING_BYTES)).decode().split()
        if len(greeting) != 2:
            raise InputError("proxy: expected the service's side to begin, but it failed; its message stands above.")
        port, key = greeting
        async with proxied(profile, LOCALHOST, int(port), seed=seed) as proxy:
            began_ns = proxy.pace.began_ns
            await loop.sock_sendall(phone, f"{proxy.port} {key}".encode())
            said, _ = await asking.communicate()
            if asking.returncode or not said:
                raise InputError(
                    "proxy: expected the phone's side to end well, but it failed; its message stands above."
                )
    return Measured(json.loads(said), proxy.late_ms, proxy.is_good, began_ns)


@asynccontextmanager
async def _side(role: str, plan: str) -> AsyncIterator[Side]:
    """Start one side, and end it afterwards whatever became of it."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        words = ("-m", "sightline_bench.netsim.product", role, str(theirs.fileno()), plan)
        process = await asyncio.create_subprocess_exec(
            sys.executable, *words, pass_fds=[theirs.fileno()], stdout=asyncio.subprocess.PIPE
        )
        theirs.close()
        try:
            yield process, ours
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
