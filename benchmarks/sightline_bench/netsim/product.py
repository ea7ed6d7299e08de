"""The real client and the real service, each in a process of its own: `python -m sightline_bench.netsim.product`.

    product serve FD PLAN        indexes the gallery, sends port and API key over FD, answers until it is ended
    product ask FD PLAN          gets them over FD, asks by the schedule, prints milliseconds and bytes as JSON

PLAN names a JSON file. With `tun` in it each is in a network namespace. Client and service are unchanged; beside the service's
own doors are those of `uploads`. Each query is a task of its own, begun at its scheduled instant and timed from there, so a
network that stalls is not spared the queries that come meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx

from sightline_bench.netsim.orders import ORDERS
from sightline_bench.netsim.schedule import Slot
from sightline_bench.netsim.shots import FOREVER_MS, Shot
from sightline_bench.netsim.stack import Session
from sightline_bench.netsim.table import SITUATIONS
from sightline_bench.netsim.tunnel import PHONE, PORT, SERVICE, enter, hurried
from sightline_bench.netsim.uploads import routes
from sightline_bench.netsim.ways import DEADLINE_MS, POCKETED, Answered, Phone, way_of
from sightline_cloud.app import create_app
from sightline_cloud.embedded import listen_twice, server_of
from sightline_cloud.ingest.reader import Entry
from sightline_cloud.settings import Settings
from sightline_edge import AsyncClient, Device, PocketIndex
from sightline_edge.pipeline import observe
from sightline_shared.budget import Budget
from sightline_shared.errors import SightlineError

TENANT, MAX_GREETING_BYTES = "shop", 1000
LOCALHOST = "127.0.0.1"
# What a query's figures are called after its situation and way, each a list over its queries.
FIELDS = ("due s", "open", "first ms", "final ms", "round trip ms", "up", "down", "codes")
LEFT_OUT = "left out"
BEGIN_NS = 200_000_000


def serve(control: socket.socket, plan: dict[str, Any], device: Device) -> None:
    host, port = (SERVICE, PORT) if plan["tun"] else (LOCALHOST, 0)
    settings = Settings(data_dir=Path(plan["data"]), host=host, port=port, cache_mb=0, degrade_at_most=0)
    app = create_app(settings, device.bundle)
    app.include_router(routes(device))
    engine = app.state.engine
    engine.ingest.add_photos(TENANT, [Entry(str(i), Path(path), {}) for i, path in enumerate(plan["gallery"])])
    engine.catch_up()
    sockets = listen_twice(settings)
    if plan["tun"]:  # the model's congestion control, on what is accepted, too
        sockets[0].setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic")
    key = engine.keys.add("netsim", tenant=TENANT)
    control.sendall(f"{sockets[0].getsockname()[1]} {key}".encode())
    server_of(app, sockets[1].getsockname()[1]).run(sockets)


@dataclass(frozen=True)
class Asking:
    """The phone's side of a run."""

    phone: Phone
    shots: Sequence[Shot]
    slots: Sequence[Slot]
    control: socket.socket

    async def run(self) -> dict[str, list[float]]:
        """Return each kind's FIELDS, in order of the schedule; what another one than the service decided is only told how often."""
        begin_ns = time.monotonic_ns() + BEGIN_NS
        found: dict[str, list[float]] = {}
        for slot, row in zip(
            self.slots, await asyncio.gather(*(self._one(slot, begin_ns) for slot in self.slots)), strict=True
        ):
            kind = f"{slot.situation}, {slot.way}"
            if not slot.counted:
                continue
            if row is None:
                found.setdefault(f"{kind}: {LEFT_OUT}", []).append(1.0)
                continue
            for name, value in zip(FIELDS, row, strict=True):
                found.setdefault(f"{kind}: {name}", []).append(float(value))
        return found

    async def _one(self, slot: Slot, begin_ns: int) -> tuple[float, ...] | None:
        due_ns = begin_ns + round(slot.due_s * 1e9)
        await _until(begin_ns + round(slot.open_s * 1e9))
        session, rest = SITUATIONS[slot.situation]
        way = way_of(slot.way, self.phone, self.shots[slot.shot], warm=session is Session.WARM)
        try:
            is_open = await _opened(way.open(), due_ns)
            await _until(due_ns)
            self.control.send(ORDERS[rest])
            answered = await self._asked(way.ask(due_ns))
        finally:
            await way.close()
        if answered is None:
            return None
        a = answered
        figures = (a.first_ms, a.final_ms, a.round_trip_ms, a.up_bytes, a.down_bytes, a.codes)
        return (due_ns / 1e9, is_open, *figures)

    async def _asked(self, asking: Any) -> Answered | None:
        never = float("inf")
        try:
            async with asyncio.timeout(2 * DEADLINE_MS / 1000):
                found: Answered | None = await asking
                return found
        except (SightlineError, httpx.HTTPError, TimeoutError):
            return Answered(never, never, never, 0, 0, 0)


async def _opened(opening: Any, due_ns: int) -> bool:
    """Let a query get ready until it is wanted; returns whether it was."""
    with contextlib.suppress(SightlineError, httpx.HTTPError, TimeoutError):
        async with asyncio.timeout((due_ns - time.monotonic_ns()) / 1e9):
            return bool(await opening)
    return False


async def _until(when_ns: int) -> None:
    await asyncio.sleep(max(0.0, (when_ns - time.monotonic_ns()) / 1e9))


async def ask(control: socket.socket, plan: dict[str, Any], device: Device) -> dict[str, list[float]]:
    port, key = control.recv(MAX_GREETING_BYTES).decode().split()
    phone = Phone(f"http://{SERVICE if plan['tun'] else LOCALHOST}:{port}", key, device, cubic=plan["tun"])
    slots = [Slot(**slot) for slot in plan["slots"]]
    shots = [
        Shot(
            shot["photo"], {int(size): path for size, path in shot["jpegs"].items()}, tuple(map(tuple, shot["regions"]))
        )
        for shot in plan["shots"]
    ]
    if any(slot.way in POCKETED for slot in slots):
        pocket = PocketIndex.open_or_empty(Path(plan["data"] + ".slp"), device)
        async with AsyncClient(phone.url, api_key=key, device=device, pocket=pocket) as client:
            await client.sync_pocket()
        phone = replace(phone, pocket=pocket)
    observe(shots[0].photo, device, Budget(FOREVER_MS))  # the first use of a model is slower
    return await Asking(phone, shots, slots, control).run()


def main(role: str, control_fd: str, plan_file: str) -> None:
    plan = json.loads(Path(json.loads(plan_file)["file"]).read_text())
    with socket.socket(fileno=int(control_fd)) as control:
        asks = role == "ask"
        if plan["tun"]:
            own, other = (PHONE, SERVICE) if asks else (SERVICE, PHONE)
            socket.send_fds(control, [b"d"], [enter(own, other)])
        device = Device.load()
        if not asks:
            serve(control, plan, device)
            return
        with hurried():
            found = asyncio.run(ask(control, plan, device))
        sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
