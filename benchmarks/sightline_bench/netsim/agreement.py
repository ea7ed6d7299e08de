"""How near the model in virtual time comes to the kernel's TCP, bare and below the real client: every cell, the misses too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sightline_bench.netsim.emulator import LATE_MS
from sightline_bench.netsim.kernel import measured, modelled, through
from sightline_bench.netsim.profiles import AWAKE, Profile
from sightline_bench.netsim.stack import Session
from sightline_bench.netsim.table import ANSWER_BYTES
from sightline_bench.stats import block_interval
from sightline_shared.errors import InputError

WITHIN = 0.1
# With jitter one exchange of the model is one draw.
DRAWS = 41
SESSIONS = {"cold": Session.COLD, "warm": Session.WARM}

NO_NETWORK = Profile(
    "none", "no network", "what client and service take", 0.0, 10_000.0, 10_000.0, 0.0, 10_000, None, "", AWAKE
)

Agreement = dict[str, dict[str, Any]]
Samples = dict[str, list[float]]


def agreement(
    profiles: Sequence[Profile], sizes: Sequence[int], n: int, step: Callable[[], None]
) -> tuple[Agreement, Samples]:
    """Return by profile the emulator's lateness and, where that is good, each cell's medians; and the raw milliseconds.

    Raises InputError where TUN devices cannot be had. `sizes` are bytes up, 8 at least, without any header.
    """
    found: Agreement = {}
    samples: Samples = {}
    for profile in profiles:
        run = measured(profile, sizes, ANSWER_BYTES, n)
        cells = {}
        for kind, session in SESSIONS.items():
            for size in sizes:
                ms = run.ms[f"{kind} {size}"]
                samples[f"{profile.name} {kind} {size} B ms"] = ms
                model = modelled(
                    profile, size, ANSWER_BYTES, session, DRAWS if profile.jitter_ms or profile.loss else 1
                )
                cells[f"{kind} {size} B"] = _cell(ms, model)
        found[profile.name] = {"late_p99_ms": round(run.late_ms, 3), "refused": not run.is_good}
        if run.is_good:
            found[profile.name]["cells"] = cells
        step()
    return found, samples


def product_agreement(
    profiles: Sequence[Profile], gallery: Sequence[str], photos: Sequence[str], data: Path, step: Callable[[], None]
) -> tuple[Agreement, Samples]:
    """As `agreement`, for queries of the real client to the real service over `gallery`: round trips as the client takes them.

    What client and service take themselves is measured in the same way with no network between them, and added to the
    model. `data` is a folder for the services' data.
    """
    found: Agreement = {}
    samples: Samples = {}
    own: dict[str, float] = {}
    for profile in (NO_NETWORK, *profiles):
        plan = {"gallery": list(gallery), "photos": list(photos), "data": str(data / profile.name)}
        run = through(profile, "sightline_bench.netsim.product", plan)
        if not run.ms["cold ms"]:
            raise InputError("product: expected photographs that the device asks the service about, got none.")
        up_bytes, down_bytes = (round(float(np.median(run.ms[way]))) for way in ("up", "down"))
        cells = {}
        for kind, session in SESSIONS.items():
            ms = run.ms[f"{kind} ms"]
            samples[f"{profile.name} {kind} product ms"] = ms
            if profile is NO_NETWORK:
                own[kind] = float(np.median(ms))
            else:
                draws = DRAWS if profile.jitter_ms or profile.loss else 1
                model = modelled(profile, up_bytes, down_bytes, session, draws)
                cells[f"{kind}, client and service"] = _cell(ms, [own[kind] + each for each in model])
        if profile is not NO_NETWORK:
            found[profile.name] = {"late_p99_ms": round(run.late_ms, 3), "refused": not run.is_good}
            found[profile.name] |= {"cells": cells} if run.is_good else {}
        step()
    return found, samples


def _cell(kernel_ms: list[float], model_ms: list[float]) -> dict[str, Any]:
    values, model = np.array(kernel_ms), float(np.median(model_ms))
    middle = float(np.median(values))
    low, high = block_interval(values, lambda drawn: float(np.median(drawn)))
    kernel = {"value": round(middle, 3), "interval": [round(low, 3), round(high, 3)], "n": len(values)}
    return {"kernel_p50_ms": kernel, "model_p50_ms": round(model, 3), "model_to_kernel": round(model / middle, 4)}


def as_markdown(found: Agreement) -> str:
    """Return the comparison as people read it."""
    lines = [
        f"Medians of an exchange over the kernel's TCP (cubic) through TUN devices, the model's, their ratio; bold: off by more than {WITHIN:.0%}.",
        f"A network is refused when the emulator handed 1 % of its packets on more than {LATE_MS:g} ms late.",
        "",
        "| network | exchange | kernel p50 ms | model | model to kernel |",
        "|---|---|---|---|---|",
    ]
    for name, network in found.items():
        if network["refused"]:
            lines.append(f"| {name} | refused: {network['late_p99_ms']} ms late at p99 | | | |")
        for label, cell in network.get("cells", {}).items():
            kernel, ratio = cell["kernel_p50_ms"], cell["model_to_kernel"]
            text = f"{ratio:.3f}" if abs(ratio - 1) <= WITHIN else f"**{ratio:.3f}**"
            low, high = kernel["interval"]
            lines.append(
                f"| {name} | {label} | {kernel['value']:.1f} [{low:.1f}, {high:.1f}] | {cell['model_p50_ms']:.1f} | {text} |"
            )
    return "\n".join(lines)
