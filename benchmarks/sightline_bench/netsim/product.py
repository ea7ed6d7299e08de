"""The real client and the real service, each in a namespace of its own: `python -m sightline_bench.netsim.product`.

    product serve FD PLAN        indexes the plan's gallery, sends an API key over FD, answers until FD is closed
    product ask FD PLAN          gets the key over FD, asks about the plan's photographs, prints milliseconds and bytes as JSON

Client and service are those of `bench quality`, unchanged; only the network between them is another.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sightline_bench.netsim.tunnel import PHONE, PORT, SERVICE, enter, hurried
from sightline_cloud.embedded import EmbeddedService
from sightline_cloud.ingest.reader import Entry
from sightline_cloud.settings import Settings
from sightline_edge import AsyncClient, Device, Options
from sightline_shared.bundle import Bundle

TENANT, MAX_KEY_BYTES = "shop", 1000
# For as long as an answer may take here; nothing is tried twice, for that would hide what was lost.
OPTIONS = Options(deadline_ms=30_000, retries=0, hedge=False)


def serve(control: socket.socket, plan: dict[str, Any], bundle: Bundle) -> None:
    settings = Settings(data_dir=Path(plan["data"]), host=SERVICE, port=PORT, cache_mb=0, degrade_at_most=0)
    with EmbeddedService(settings, bundle) as service:
        entries = [Entry(str(number), Path(path), {}) for number, path in enumerate(plan["gallery"])]
        service.engine.ingest.add_photos(TENANT, entries)
        service.engine.catch_up()
        control.sendall(service.engine.keys.add("netsim", tenant=TENANT).encode())
        control.recv(1)


async def ask(key: str, photos: Sequence[str], device: Device) -> dict[str, list[float]]:
    """Return `cold ms` and `warm ms`, the round trips as the client takes them, and the bytes of each query with its head."""
    found: dict[str, list[float]] = {"cold ms": [], "warm ms": [], "up": [], "down": []}
    url = f"http://{SERVICE}:{PORT}"
    for photo in photos:
        async with AsyncClient(url, api_key=key, device=device, options=OPTIONS) as client:
            cold = await client.search(photo)
        async with AsyncClient(url, api_key=key, device=device, options=OPTIONS) as client:
            await client.wake()
            await asyncio.sleep(0.05)
            warm = await client.search(photo)
        if not "cloud" == cold.decided_by == warm.decided_by:  # the device saw for itself that there is nothing to ask
            continue
        found["cold ms"].append(cold.stages_ms["round_trip"])
        found["warm ms"].append(warm.stages_ms["round_trip"])
        found["up"].append(float(warm.http_bytes_up))
        found["down"].append(float(warm.http_bytes_down))
    return found


def main(role: str, control_fd: str, plan: str) -> None:
    chosen = json.loads(plan)
    with socket.socket(fileno=int(control_fd)) as control:
        asks = role == "ask"
        own, other = (PHONE, SERVICE) if asks else (SERVICE, PHONE)
        device_fd = enter(own, other)
        socket.send_fds(control, [b"d"], [device_fd])
        device = Device.load()
        if not asks:
            serve(control, chosen, device.bundle)
            return
        key = control.recv(MAX_KEY_BYTES).decode()
        with hurried():
            found = asyncio.run(ask(key, chosen["photos"], device))
        sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
