"""Whether the service should wait for other queries and search them in one call: what a query then costs of CPU.

One thread, the index as the service opens it, alone in the process. What a batch saves is the calls' own overhead: every
query looks into lists of its own, and reads its own candidates' vectors.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline_bench.results import Result, Run
from sightline_bench.retrieval.contenders.sightline import Sightline
from sightline_bench.retrieval.dataset import Dataset
from sightline_bench.retrieval.feed import TENANT
from sightline_bench.retrieval.process import built, own_python
from sightline_bench.retrieval.report import table
from sightline_export.evaluate import statistic_figure
from sightline_shared.bundle import open_bundle

Floats = NDArray[np.float64]
# Does a piece of work for the queries of these numbers.
Work = Callable[[NDArray[np.int64]], object]

CONTENDER = "sightline"
SIZES = (1, 2, 4, 8, 16)
BLOCK = 64
ROUNDS, QUICK_ROUNDS, WARM_ROUNDS = 60, 6, 2
# What the service asks its index for when 20 matches are wanted.
K = 30
# At this rate the waiting is worked out.
PER_SECOND = 200.0
BUILD_LIMIT_S = 3600.0


def run(dataset: Dataset, cache: Path, bundle_dir: Path, rounds: int) -> Result:
    """Return CPU a query of the index's search and of decoding, by batch size; builds the index under `cache`, if need be."""
    bundle, queries = open_bundle(bundle_dir), dataset.queries()
    whole = Run("load batches", {"data": dataset.about, "k": K, "sizes": SIZES, "rounds": rounds}, bundle)
    folder, _ = built(CONTENDER, own_python(), dataset, cache, 1, BUILD_LIMIT_S)
    contender = Sightline("rabitq")
    contender.open(dataset.folder / "vectors.npy", folder)
    codes = bundle.codec.encode(queries)
    works: dict[str, Work] = {
        "search": lambda rows: contender.indexes.search(TENANT, queries[rows], K),
        "decode": lambda rows: bundle.codec.decode(codes[rows]),
    }
    spent = {name: measured(work, len(queries), rounds) for name, work in works.items()}
    figures = {"cpu_us": {name: summary(us) for name, us in spent.items()}, "waits_ms": waits_ms(PER_SECOND)}
    samples = {f"{name}, {size} a call, us": us[size].tolist() for name, us in spent.items() for size in SIZES}
    return whole.result(figures, samples)


def measured(work: Work, queries: int, rounds: int) -> dict[int, Floats]:
    """Return microseconds of CPU a query, a value a round, by how many queries share a call.

    A round gives every size the same queries, the sizes in a new order each time: whatever else the machine does meets all
    alike.
    """
    rng = np.random.default_rng(0)
    spent: dict[int, list[float]] = {size: [] for size in SIZES}
    for _ in range(WARM_ROUNDS + rounds):
        rows = rng.integers(0, queries, BLOCK)
        for size in rng.permutation(SIZES).tolist():
            began_s = time.thread_time()
            for start in range(0, BLOCK, size):
                work(rows[start : start + size])
            spent[size].append(1e6 * (time.thread_time() - began_s) / BLOCK)
    return {size: np.array(values[WARM_ROUNDS:]) for size, values in spent.items()}


def summary(us: dict[int, Floats]) -> dict[str, dict[str, Any]]:
    """Return by batch size the median, and the median of its ratios to one query a call with the interval over rounds."""
    return {
        str(size): {
            "us": round(float(np.median(values)), 2),
            "ratio": statistic_figure(values / us[1], lambda drawn: float(np.median(drawn))).to_dict(),
        }
        for size, values in us.items()
    }


def waits_ms(per_second: float) -> dict[str, float]:
    """Return how long a query waits on average for its batch to fill, when they arrive as a Poisson process."""
    return {str(size): round(1000 * (size - 1) / 2 / per_second, 2) for size in SIZES}


def as_markdown(result: Result) -> str:
    """Return the table of both, and what the waiting costs."""
    scenario, machine, cpu = result["scenario"], result["machine"], result["cpu_us"]
    head = ["queries a call", "search, CPU us a query", "over one a call", "decode, CPU us a query", "over one a call"]
    head += [f"mean wait at {PER_SECOND:g} a second, ms"]
    rows = []
    for size in map(str, scenario["sizes"]):
        cells = [
            cell for name in ("search", "decode") for cell in (f"{cpu[name][size]['us']:.1f}", _ratio(cpu, name, size))
        ]
        rows.append([size, *cells, f"{result['waits_ms'][size]:.1f}"])
    return (
        f"### Several queries in one call: {scenario['data']['n']:,} items, {scenario['data']['source']}\n\n"
        f"One thread, k {scenario['k']}, {scenario['rounds']} rounds of {BLOCK} queries a size, interleaved; medians, 95 % intervals of the "
        f"ratio over rounds. {machine['cpu']}, {machine['cores']} cores, load {machine['load_1m']}; {machine['time']}, "
        f"{machine['git']}.\n\n{table(head, rows)}\n"
    )


def _ratio(cpu: dict[str, Any], name: str, size: str) -> str:
    ratio = cpu[name][size]["ratio"]
    low, high = ratio["interval"]
    return f"{ratio['value']:.3f} [{low:.3f}, {high:.3f}]"
