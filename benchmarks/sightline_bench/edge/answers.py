"""When does the user see something? The first answer and the final one, on mobile networks, with a pocket index."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sightline_bench.netsim.profiles import Profile
from sightline_bench.netsim.proxy import proxied
from sightline_edge import AsyncClient, Device, Options, PocketIndex
from sightline_export.evaluate import percentiles

HOST = "127.0.0.1"
OFFLINE = "offline"
# Nothing listens there.
NOWHERE = f"http://{HOST}:9"


@dataclass(frozen=True)
class Scene:
    """A service that runs at `port` of this machine, and what is asked of it; `pocket` is a file that will be written."""

    port: int
    api_key: str
    photos: list[str]
    device: Device
    pocket: Path


async def measure(
    scene: Scene, profiles: Sequence[Profile], seed: int, step: Callable[[], None]
) -> dict[str, dict[str, Any]]:
    """Return by the network's title: milliseconds to the first and to the final answer, who gave them, failures, lateness.

    `late_p99_ms` is how late the proxy was; where it was later than it may, `in_time` is false and the times are the machine's as well.
    """
    table: dict[str, dict[str, Any]] = {}
    pocket = PocketIndex.open_or_empty(scene.pocket, scene.device)
    async with AsyncClient(_url(scene.port), api_key=scene.api_key, device=scene.device, pocket=pocket) as filling:
        await filling.sync_pocket()
    for profile in profiles:
        async with proxied(profile, HOST, scene.port, seed=seed) as proxy:
            row = await _asked(scene, _url(proxy.port))
        table[profile.title] = {**row, "late_p99_ms": round(proxy.late_ms, 3), "in_time": proxy.is_good}
        step()
    table[OFFLINE] = await _asked(scene, NOWHERE)
    step()
    return table


def _url(port: int) -> str:
    return f"http://{HOST}:{port}"


async def _asked(scene: Scene, url: str) -> dict[str, Any]:
    first_ms, final_ms, local, troubles = [], [], 0, 0
    pocket = PocketIndex.open(scene.pocket, scene.device)
    async with AsyncClient(
        url, api_key=scene.api_key, device=scene.device, pocket=pocket, options=Options(deadline_ms=3000)
    ) as client:
        await client.wake()  # the camera opens before the shutter falls
        for photo in scene.photos:
            start, seen = time.perf_counter(), []
            async for answer in client.stream(photo):
                seen.append((1000 * (time.perf_counter() - start), answer))
            first_ms.append(seen[0][0])
            final_ms.append(seen[-1][0])
            local += seen[0][1].decided_by != "cloud"
            troubles += seen[-1][1].trouble is not None
    return {
        "n": len(scene.photos),
        "first_ms": percentiles(np.array(first_ms)),
        "final_ms": percentiles(np.array(final_ms)),
        "first_from_the_device": local,
        "service_did_not_answer": troubles,
        "raw": {"first_ms": first_ms, "final_ms": final_ms},
    }


def run(scene: Scene, profiles: Sequence[Profile], seed: int, step: Callable[[], None]) -> dict[str, dict[str, Any]]:
    """`measure`, for callers without an event loop."""
    return asyncio.run(measure(scene, profiles, seed, step))


def show(table: dict[str, dict[str, Any]]) -> list[str]:
    """Return the lines of the table."""
    lines = [
        "| network | n | first answer p50 ms | p95 | final answer p50 ms | p95 | first by the device | service did not answer | proxy late p99 ms |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, row in table.items():
        cells = [_ms(row[kind].get(level)) for kind in ("first_ms", "final_ms") for level in ("p50", "p95")]
        cells += [str(row[count]) for count in ("first_from_the_device", "service_did_not_answer")]
        lines.append(f"| {name} | {row['n']} | {' | '.join(cells)} | {_late(row)} |")
    return lines


def _ms(value: float | None) -> str:
    return "too few" if value is None else f"{value:.0f}"


def _late(row: dict[str, Any]) -> str:
    if "late_p99_ms" not in row:
        return "-"
    text = f"{row['late_p99_ms']:.1f}"
    return text if row["in_time"] else f"**{text}**"
