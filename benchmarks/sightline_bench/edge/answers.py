"""When does the user see something? The first answer and the final one, through slow networks, with a pocket index."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from sightline_bench.edge.slow_network import PROFILES, late
from sightline_edge import AsyncClient, Device, Options, PocketIndex
from sightline_export.evaluate import percentiles

OFFLINE = "offline"
# Nothing listens there.
NOWHERE = "http://127.0.0.1:9"


async def measure(
    port: int, api_key: str, photos: list[str], device: Device, pocket: Path, step: Callable[[str], None]
) -> dict[str, dict[str, Any]]:
    """Return for each network: milliseconds to the first and to the final answer, who gave them, and failures."""
    table: dict[str, dict[str, Any]] = {}
    async with AsyncClient(
        f"http://127.0.0.1:{port}", api_key=api_key, device=device, pocket=PocketIndex.open_or_empty(pocket, device)
    ) as filling:
        await filling.sync_pocket()
    for profile in PROFILES:
        async with late(profile, "127.0.0.1", port) as slow:
            table[profile.name] = await _asked(f"http://127.0.0.1:{slow}", api_key, photos, device, pocket)
        step(profile.name)
    table[OFFLINE] = await _asked(NOWHERE, api_key, photos, device, pocket)
    step(OFFLINE)
    return table


async def _asked(url: str, api_key: str, photos: list[str], device: Device, pocket: Path) -> dict[str, Any]:
    first_ms, final_ms, local, troubles = [], [], 0, 0
    head = PocketIndex.open(pocket, device)
    async with AsyncClient(
        url, api_key=api_key, device=device, pocket=head, options=Options(deadline_ms=3000)
    ) as client:
        await client.wake()  # the camera opens before the shutter falls
        for photo in photos:
            start, seen = time.perf_counter(), []
            async for answer in client.stream(photo):
                seen.append((1000 * (time.perf_counter() - start), answer))
            first_ms.append(seen[0][0])
            final_ms.append(seen[-1][0])
            local += seen[0][1].decided_by != "cloud"
            troubles += seen[-1][1].trouble is not None
    return {
        "n": len(photos),
        "first_ms": percentiles(np.array(first_ms)),
        "final_ms": percentiles(np.array(final_ms)),
        "first_from_the_device": local,
        "service_did_not_answer": troubles,
        "raw": {"first_ms": first_ms, "final_ms": final_ms},
    }


def run(
    port: int, api_key: str, photos: list[str], device: Device, pocket: Path, step: Callable[[str], None]
) -> dict[str, dict[str, Any]]:
    """`measure`, for callers without an event loop."""
    return asyncio.run(measure(port, api_key, photos, device, pocket, step))


def show(table: dict[str, dict[str, Any]]) -> list[str]:
    """Return the lines of the table."""
    lines = [
        "| network | n | first answer p50 ms | p95 | final answer p50 ms | p95 | first by the device | service did not answer |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, row in table.items():
        cells = [_ms(row[kind].get(level)) for kind in ("first_ms", "final_ms") for level in ("p50", "p95")]
        lines.append(
            f"| {name} | {row['n']} | {' | '.join(cells)} | {row['first_from_the_device']} | {row['service_did_not_answer']} |"
        )
    return lines


def _ms(value: float | None) -> str:
    return "too few" if value is None else f"{value:.0f}"
