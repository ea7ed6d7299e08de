"""Tables of `results/retrieval-*.json`: the peers, growing numbers of vectors, a billion on paper."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sightline_bench.retrieval.cost import growth
from sightline_bench.retrieval.report import growth_table
from sightline_bench.tables.aims import WALL, at_effort
from sightline_bench.tables.cells import levels, plain, table
from sightline_bench.tables.shelf import Shelf

PEERS, PEERS_100K = "retrieval-real-1m-peers", "retrieval-real-100k"
SYNTHETIC = ("retrieval-synthetic-100k", "retrieval-synthetic-1m", "retrieval-synthetic-10m")
BARE = "bare"
SHOWN = ("sightline", "sightline-ssd", BARE)
TITLES = {
    "sightline": "sightline (RaBitQ)",
    "sightline-pq32": "sightline-pq32, the wire's 32-byte codes",
    "sightline-fs32": "sightline-fs32, fast-scan",
    BARE: "bare faiss over Sightline's lists, and the re-rank",
    "faiss-rabitq": "faiss's own IVF-RaBitQ, flat coarse search",
}


def peers(shelf: Shelf) -> str:
    """Return the contenders at a million real vectors, each at its cheapest effort that reaches the recall aimed at."""
    return _contenders(shelf, PEERS)


def peers_100k(shelf: Shelf) -> str:
    """Return the same at a hundred thousand."""
    return _contenders(shelf, PEERS_100K)


def sizes(shelf: Shelf) -> str:
    """Return recall, time and bytes beside bare faiss at growing numbers of synthetic vectors."""
    rows = []
    for name in SYNTHETIC:
        found = shelf[name]
        n = found["scenario"]["data"]["n"]
        for key in SHOWN:
            one = found["contenders"][key]
            at = at_effort(one)
            over = plain(at["against_limit"]["cpu"], 3) if "against_limit" in at else ""
            cold = levels(one["cold"]["wall_ms"], ("p50",), 1)
            times = [levels(at["cpu_ms"], WALL, 2), over, cold]
            rows.append([f"{n:,}", key, at["effort"], plain(at["recall"], 3), *times, *_bytes_and_build(one, n)])
    head = ["synthetic vectors", "", "nprobe", "recall@10", "CPU ms p50 / p99", "CPU against bare faiss"]
    head += ["cold, wall ms p50", "RAM B a vector", "SSD B a vector", "build CPU s"]
    return f"{table(head, rows)}\n\n{shelf.source(*SYNTHETIC)}"


def on_paper(shelf: Shelf) -> str:
    """Return how cost grows with synthetic vectors, and what the curves say of a billion."""
    fits = [fit for fit in growth([shelf[name] for name in SYNTHETIC]) if fit["contender"] != BARE]
    return f"{growth_table(fits)}\n\n{shelf.source(*SYNTHETIC)}"


def _contenders(shelf: Shelf, name: str) -> str:
    found = shelf[name]
    n = found["scenario"]["data"]["n"]
    rows = []
    for key, one in found["contenders"].items():
        at = at_effort(one)
        most = max(point["recall"]["value"] for point in one["points"])
        times = [levels(at["cpu_ms"], ("p50",), 2), levels(at["wall_ms"], WALL, 2)]
        rows.append(
            [
                TITLES.get(key, key),
                at["effort"],
                plain(at["recall"], 3),
                f"{most:.3f}",
                *times,
                *_bytes_and_build(one, n),
            ]
        )
    head = [f"{n:,} real vectors, one run", "effort", "recall@10", "at most", "CPU ms p50", "wall ms p50 / p99"]
    head += ["RAM B a vector", "SSD B a vector", "build CPU s"]
    about = f"Load {found['machine']['load_1m']} before, {found['load_after']} after."
    return f"{table(head, rows)}\n\n{shelf.source(name, about=about)}"


def _bytes_and_build(one: Mapping[str, Any], n: int) -> list[str]:
    memory = [f"{one['memory'][kind] / n:.0f}" for kind in ("anonymous_bytes", "ssd_bytes")]
    return [*memory, f"{one['build']['cpu_s']:.0f}" if one["build"] else ""]
