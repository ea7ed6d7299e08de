"""What an operator asks first: bytes, recall and milliseconds of the index, and what a core answers."""

from __future__ import annotations

from sightline_bench.load.session import SERVICE
from sightline_bench.tables.aims import NAME as INDEX
from sightline_bench.tables.aims import WALL, at_effort
from sightline_bench.tables.cells import levels, plain, table
from sightline_bench.tables.load import NAME as LOAD
from sightline_bench.tables.shelf import Shelf


def operators(shelf: Shelf) -> str:
    """Return the index in RAM and on the SSD at a million real vectors, and the service's knee."""
    index, load = shelf[INDEX], shelf[LOAD]
    n = index["scenario"]["data"]["n"]
    rows = []
    for name, title in (("sightline", "the index, lists in RAM"), ("sightline-ssd", "... lists on the SSD")):
        one = index["contenders"][name]
        at, ram = at_effort(one), one["memory"]["anonymous_bytes"] / n
        took = f"{levels(at['wall_ms'], WALL, 2)} ms p50 / p99"
        rows.append(
            [f"{title}, {n:,} vectors", f"{ram:.0f} B of RAM a vector, recall@10 {plain(at['recall'], 3)}, {took}"]
        )
    knee = load["knee_per_s"][SERVICE]
    row = next((each for each in load["tables"][SERVICE] if each["rate"] == knee), None)
    items = f"one core of the service, {load['scenario']['data']['n']:,} items"
    if row is None:
        rows.append([items, "no rate that was tried was held"])
    else:
        took = f"{levels(row['ms'], WALL, 1)} ms p50 / p99, {row['server_cpu_ms']:.2f} ms of CPU an answer"
        rows.append([items, f"{knee:.0f} queries a second, {took}"])
    return f"{table(['', 'measured'], rows)}\n\n{shelf.source(INDEX, LOAD)}"
