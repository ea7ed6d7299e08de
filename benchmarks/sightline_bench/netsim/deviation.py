"""How far the proxy is off: the same bare exchanges through it in real time, and by the model in virtual time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sightline_bench.netsim import bare
from sightline_bench.netsim.agreement import BARE_TCP, kernel_seed, model_seeds
from sightline_bench.netsim.kernel import modelled
from sightline_bench.netsim.percentiles import percentile_estimates
from sightline_bench.netsim.profiles import Profile
from sightline_bench.netsim.proxy import LATE_MS
from sightline_bench.netsim.table import ANSWER_BYTES

Deviation = dict[str, dict[str, Any]]
Samples = dict[str, list[float]]


def deviation(
    profiles: Sequence[Profile], sizes: Sequence[int], n: int, seed: int, step: Callable[[], None]
) -> tuple[Deviation, Samples]:
    """Return by profile the proxy's lateness and each cell's medians, and the raw milliseconds.

    `sizes` are bytes up, 8 at least, without any header. Where the proxy was later than it may, `in_time` is false.
    """
    found: Deviation = {}
    samples: Samples = {}
    for profile in profiles:
        run = bare.measured(profile, sizes, ANSWER_BYTES, n, kernel_seed(seed))
        cells = {}
        for kind, session in BARE_TCP.sessions.items():
            for size in sizes:
                ms = samples[f"{profile.name} {kind} {size} B ms"] = run.ms[f"{kind} {size}"]
                model = modelled(profile, size, ANSWER_BYTES, session, model_seeds(profile, seed))
                cells[f"{kind} {size} B"] = _cell(ms, float(np.median(model)))
        found[profile.name] = {"late_p99_ms": round(run.late_ms, 3), "in_time": run.is_good, "cells": cells}
        step()
    return found, samples


def _cell(proxy_ms: Sequence[float], model_ms: float) -> dict[str, Any]:
    proxy = percentile_estimates(np.array(proxy_ms))["p50"]
    ratio = round(proxy["value"] / model_ms, 4)
    return {"proxy_p50_ms": proxy, "model_p50_ms": round(model_ms, 3), "proxy_to_model": ratio}


def as_markdown(found: Deviation) -> str:
    """Return the comparison as people read it."""
    lines = [
        f"Medians of an exchange through the proxy and of the model's; below 1 the proxy is too fast. It may be {LATE_MS:g} ms late at p99; bold: it was later.",
        "",
        "| network | late p99 ms | exchange | proxy p50 ms | model | proxy to model |",
        "|---|---|---|---|---|---|",
    ]
    for name, network in found.items():
        late = f"{network['late_p99_ms']:.2f}" if network["in_time"] else f"**{network['late_p99_ms']:.2f}**"
        for label, cell in network["cells"].items():
            proxy = cell["proxy_p50_ms"]
            low, high = proxy["interval"]
            lines.append(
                f"| {name} | {late} | {label} | {proxy['value']:.1f} [{low:.1f}, {high:.1f}] | {cell['model_p50_ms']:.1f} | {cell['proxy_to_model']:.3f} |"
            )
    return "\n".join(lines)
