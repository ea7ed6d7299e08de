"""The pocket index measured: its bytes, its search on one thread, what it finds, and what a sync costs.

Real embeddings of photographs (and augmented views of them, to have enough), real service, real HTTP on loopback.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

from sightline_bench.edge.pocket_items import Shape, shapes
from sightline_bench.retrieval.dataset import embeddings
from sightline_cloud.catalog.feed import Rows
from sightline_cloud.catalog.records import Embedding, NewItem
from sightline_cloud.embedded import EmbeddedService
from sightline_cloud.engine import Engine
from sightline_cloud.index.flat import FlatIndex
from sightline_cloud.pocket.head import cells_of, read_head
from sightline_cloud.pocket.pockets import wanted_head
from sightline_cloud.settings import Settings
from sightline_edge import Device, exchange
from sightline_edge.pocket import PocketIndex
from sightline_edge.rerank import unit
from sightline_export.evaluate import mean_figure, percentiles, statistic_figure
from sightline_shared.errors import InputError
from sightline_shared.pocket_file import Identity, Pocket
from sightline_shared.where import Where

Vectors = NDArray[np.float32]
Progress = Callable[[int], None]

ITEMS, VIEWS, K, DEPTH = 10_000, 2, 20, 10
# What changes between two syncs: items added, removed, and updated.
ADDED, REMOVED, UPDATED = 60, 20, 20
LIMIT_BYTES = 1_000_000
LIMIT_MS = 5.0
FILTER_KEYS = Settings().filter_keys


def measure(packs: Path, cache: Path, device: Device, progress: Progress, *, items: int = ITEMS) -> dict[str, Any]:
    """Return the report; the embeddings are kept in `cache`, `progress` is told how many were made.

    Raises InputError for too few photographs.
    """
    found = embeddings(cache, packs, device, VIEWS, progress)
    # The photographs themselves first, then a view of each.
    gallery = unit(found.views.transpose(1, 0, 2).reshape(-1, device.codec.dim).astype(np.float32))
    if len(gallery) < items + ADDED:
        raise InputError(f"packs: expected photographs for {items + ADDED} items, got {len(gallery)}.")
    with TemporaryDirectory(prefix="sightline-pocket-") as folder:
        synced, index = measure_sync(Path(folder), device, gallery, items)
        held = gallery[:items]
        return {
            "items": items,
            "source": f"{len(found.views)} photographs of the packs, {VIEWS} views each; {len(found.queries)} test photographs ask",
            "bytes": {name: measure_bytes(shape, device, held) for name, shape in shapes().items()},
            "sync": synced,
            "search_ms": measure_search(index, found.queries),
            "found": measure_found(device, held, found.queries),
        }


def measure_bytes(shape: Shape, device: Device, vectors: Vectors) -> dict[str, Any]:
    """Return the size of a file with one shop's ids and titles."""
    rows = [shape.make(number) for number in range(1, len(vectors) + 1)]
    columns = tuple(zip(*(cells_of(*row, FILTER_KEYS) for row in rows), strict=True))
    identity = Identity(device.bundle.pairing.id, bytes(16), "default", FILTER_KEYS)
    codes = device.codec.encode(vectors)
    size = len(Pocket(identity, "v", 1, np.arange(1, len(rows) + 1), codes, columns).to_bytes())
    return {"about": shape.about, "bytes": size, "code_bytes": codes.nbytes, "left": LIMIT_BYTES - size}


def measure_sync(folder: Path, device: Device, gallery: Vectors, items: int) -> tuple[dict[str, Any], PocketIndex]:
    """Return what whole file and delta cost, and the index as it was before the changes."""
    make = shapes()["skus"].make
    rows = [make(number) for number in range(1, items + ADDED + 1)]
    codes = device.codec.encode(gallery[: len(rows)])
    key = device.bundle.pairing.id.hex()
    new = [
        NewItem(item_id, {key: Embedding(vector, code.tobytes())}, metadata=metadata)
        for (item_id, metadata), vector, code in zip(rows, gallery, codes, strict=False)
    ]
    with EmbeddedService(Settings(data_dir=folder / "data", port=0), device.bundle) as service:
        store, headers = service.engine.store, exchange.headers(service.engine.keys.add("bench"))
        for _ in store.bulk_add("default", new[:items]):
            pass
        read_ms = _cpu_ms(partial(_read, service.engine, items))
        with httpx.Client(base_url=service.url, headers=headers, timeout=60) as http:
            before, index, fresh = (PocketIndex(folder / f"{n}.slp", device) for n in ("before", "now", "fresh"))
            _sync(before, http)
            whole = _sync(index, http)
            store.add("default", new[items:])
            store.remove("default", [item_id for item_id, _ in rows[:REMOVED]])
            for item_id, _ in rows[REMOVED : REMOVED + UPDATED]:
                store.update_metadata("default", item_id, {"colour": "changed"})
            delta, same = _sync(index, http), _sync(index, http)
            _sync(fresh, http)
    return {
        "service_reads_head_ms": read_ms,
        "whole": whole,
        "delta": {
            "added": ADDED, "removed": REMOVED, "updated": UPDATED, **delta,
            "equal_to_whole": (index.version, len(index)) == (fresh.version, len(fresh)),
        },
        "not_changed": same,
    }, before  # fmt: skip


def measure_search(index: PocketIndex, queries: Vectors) -> dict[str, Any]:
    """Return milliseconds of this thread's CPU a search, of all items and with a filter."""
    where = Where.of({"available": True, "colour": _colours(index, queries[0])})
    index.search(queries[0], K, where)  # the first filter makes its tables
    timed = {"all": [_cpu_ms(partial(index.search, query, K)) for query in queries]}
    timed["filtered"] = [_cpu_ms(partial(index.search, query, K, where)) for query in queries]
    return {name: {"n": len(values), **percentiles(np.array(values))} for name, values in timed.items()}


def measure_found(device: Device, vectors: Vectors, queries: Vectors) -> dict[str, Any]:
    """Return how many of the true nearest it finds, beside the service's exact index, and how their scores differ."""
    codes = device.codec.encode(vectors)
    flat = FlatIndex(device.codec.dim, ())
    flat.add(Rows(np.arange(len(vectors)), vectors.astype(np.float16), codes, [{}] * len(vectors)))
    sent = unit(device.codec.decode(device.codec.encode(queries)))
    cosines, service = flat.search(sent, DEPTH)
    true = np.argsort(-(queries @ vectors.T), axis=1, kind="stable")[:, :DEPTH]
    index = _indexed(device, codes)
    pocket, scores = np.empty_like(true), np.empty(true.shape, np.float32)
    for row, query in enumerate(queries):
        found = index.search(query, DEPTH)
        pocket[row], scores[row] = [int(match.id) for match in found], [match.score for match in found]
    exact = np.take_along_axis(queries @ vectors.T, pocket, axis=1)
    return {
        "recall@10": {
            "pocket, of the true ten": _overlap(pocket, true),
            "service's exact index, of the true ten": _overlap(service, true),
            "pocket, of the service's ten": _overlap(pocket, service),
        },
        "first": {"pocket as the service": mean_figure((pocket[:, 0] == service[:, 0]).astype(np.float64)).to_dict()},
        "score": {
            "pocket's best less the service's": mean_figure(
                (scores[:, 0] - cosines[:, 0]).astype(np.float64)
            ).to_dict(),
            "spread of that": statistic_figure(
                (scores[:, 0] - cosines[:, 0]).astype(np.float64), lambda x: float(x.std())
            ).to_dict(),
            "pocket's best less its true cosine": mean_figure(
                (scores[:, 0] - exact[:, 0]).astype(np.float64)
            ).to_dict(),
        },
    }


def show(report: dict[str, Any]) -> str:
    """Return the report as text."""
    lines = [
        f"pocket index of {report['items']:,} items; {report['source']}",
        "",
        "| ids and titles | bytes | of 1,000,000 left |",
        "|---|---|---|",
    ]
    lines += [f"| {each['about']} | {each['bytes']:,} | {each['left']:,} |" for each in report["bytes"].values()]
    whole, delta = report["sync"]["whole"], report["sync"]["delta"]
    lines += [
        "",
        f"sync: the whole file is {whole['bytes']:,} bytes and takes the device {whole['apply_ms']:.0f} ms of CPU, the service "
        f"{report['sync']['service_reads_head_ms']:.0f} (once for all devices); {delta['added']} items added, {delta['removed']} removed, "
        f"{delta['updated']} updated: {delta['bytes']:,} bytes, {delta['apply_ms']:.0f} ms; nothing changed: "
        f"{report['sync']['not_changed']['bytes']} bytes",
        "",
        "| search, one thread's CPU | p50 ms | p95 ms |",
        "|---|---|---|",
    ]
    lines += [
        f"| {name} (n = {row['n']}) | {row['p50']:.2f} | {row['p95']:.2f} |"
        for name, row in report["search_ms"].items()
    ]
    lines.append("")
    for group in report["found"].items():
        lines += [f"{group[0]}: {name} {_figure(value)}" for name, value in group[1].items()]
    return "\n".join(lines)


def _figure(value: dict[str, Any]) -> str:
    low, high = value["interval"]
    return f"{value['value']:.4f} [{low:.4f}, {high:.4f}], n = {value['n']}"


def _read(engine: Engine, items: int) -> None:
    read_head(engine.database, engine.database.generation(), wanted_head(engine.settings, "default", items))


def _sync(index: PocketIndex, http: httpx.Client) -> dict[str, Any]:
    """Bring `index` up to date as `pocket_sync` does, and return the bytes that came and the CPU of taking them over."""
    response = http.get(index.sync_request())
    took_ms = _cpu_ms(partial(index.apply, response.content)) if response.status_code == 200 else 0.0
    return {"bytes": len(response.content), "apply_ms": took_ms}


def _indexed(device: Device, codes: NDArray[np.uint8]) -> PocketIndex:
    """Return an index whose ids are the rows' numbers."""
    identity = Identity(device.bundle.pairing.id, bytes(16), "default", ())
    columns = (tuple(f'"{row}"'.encode() for row in range(len(codes))), (b"",) * len(codes))
    with TemporaryDirectory() as folder:
        index = PocketIndex(Path(folder) / "pocket.slp", device)
        index.apply(Pocket(identity, "v", 1, np.arange(1, len(codes) + 1), codes, columns).to_bytes())
    return index


def _colours(index: PocketIndex, query: Vectors) -> list[str]:
    return sorted({str(match.metadata["colour"]) for match in index.search(query, K)})[:3]


def _cpu_ms(work: Callable[[], object]) -> float:
    began = time.thread_time()
    work()
    return (time.thread_time() - began) * 1000


def _overlap(found: NDArray[np.int64], wanted: NDArray[np.int64]) -> dict[str, object]:
    shares = [len(np.intersect1d(a, b)) / DEPTH for a, b in zip(found, wanted, strict=True)]
    return mean_figure(np.array(shares)).to_dict()
