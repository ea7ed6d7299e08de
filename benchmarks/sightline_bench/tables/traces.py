"""What made traces are like beside what they are made from: computed, for the same seed makes the same trace everywhere."""

from __future__ import annotations

import numpy as np

from sightline_bench.netsim.profiles import shipped_profiles
from sightline_bench.netsim.synthetic import TraceShape, synthetic_trace
from sightline_bench.netsim.traces import GAP_MS, RateTrace
from sightline_bench.stats import Floats
from sightline_bench.tables.cells import table
from sightline_bench.tables.shelf import Shelf

# Longer than a recording, so that what differs is the model and not the luck of a seed.
SECONDS, SEED = 900, 1
OPPORTUNITY_MBIT = 0.012


def shapes(shelf: Shelf) -> str:
    """Return statistics of every shape's trace, made / published; no result is read."""
    rows = [_row(name, shape) for name, shape in shipped_profiles().shapes.items()]
    head = ["made / published", "mean Mbit/s", "p5", "p50", "p95", "rank correlation of neighbours"]
    head.append(f"pauses over {GAP_MS} ms a minute")
    return f"{table(head, rows)}\n\n*Computed from `netsim/profiles.toml`: {SECONDS} s, seed {SEED}.*"


def _row(name: str, shape: TraceShape) -> list[str]:
    mbit, pauses = _made(shape)
    low, middle, high = np.percentile(mbit, [5, 50, 95])
    ranks = np.argsort(np.argsort(mbit))
    correlation = float(np.corrcoef(ranks[:-1], ranks[1:])[0, 1])
    pairs = (
        (float(mbit.mean()), shape.mean_mbit),
        (low, shape.p5_mbit),
        (middle, shape.p50_mbit),
        (high, shape.p95_mbit),
        (correlation, shape.correlation),
    )
    cells = [f"{made:.2f} / {'-' if published is None else f'{published:.2f}'}" for made, published in pairs]
    minutes = SECONDS / 60
    stalls = f"{pauses / minutes:.1f} / {60 * shape.stalls.per_second:.1f}" if shape.stalls else "-"
    return [name, *cells, stalls]


def _made(shape: TraceShape) -> tuple[Floats, int]:
    """Return a made trace's megabits of each second, and how many pauses it has."""
    trace = synthetic_trace(shape, SECONDS, SEED)
    if isinstance(trace, RateTrace):
        return trace.mbit, 0
    counts = np.bincount(trace.times_ms // 1000, minlength=SECONDS)[:SECONDS]
    return counts.astype(np.float64) * OPPORTUNITY_MBIT, int((np.diff(trace.times_ms) > GAP_MS).sum())
