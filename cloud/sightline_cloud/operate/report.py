"""What there is: the catalogue and its snapshots on disk, for whoever asks; live indexes, for whoever holds them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from sightline_cloud.engine import Engine
from sightline_cloud.index.snapshot import Snapshots
from sightline_cloud.operate.indexes import Progress, parts, snapshots_in
from sightline_shared.errors import SnapshotCorrupt


def on_disk(engine: Engine) -> dict[str, Any]:
    """Return what the data folder holds, without opening an index: right also beside a service that runs on it."""
    live = {generation.key for generation in engine.generations.values()}
    return {
        "data": str(engine.settings.data_dir),
        "bundle": engine.primary.bundle.label,
        "pairing_id": engine.primary.key,
        "code_bytes": engine.primary.codec.code_size,
        "tenants": engine.store.counts(),
        "changes": engine.store.position(),
        "database_bytes": engine.database.size_bytes(),
        "generations": [
            {**dataclasses.asdict(kind), "open": kind.pairing_id in live} for kind in engine.store.coverage()
        ],
        "snapshots": [_shown(*found) for found in snapshots_in(engine.settings.index_dir)],
    }


def in_memory(engine: Engine, tenant: str) -> dict[str, Any]:
    """Return what the live indexes of `tenant` hold and do, and its part of the result cache."""
    indexes = []
    for part in parts(engine):
        stats = part.indexes.stats().get(tenant)
        if stats is not None:
            vectors = max(1, stats["vectors"])
            sizes = {f"{kind}_bytes_a_vector": round(stats[f"{kind}_bytes"] / vectors, 1) for kind in ("ram", "ssd")}
            indexes.append(part.line(tenant, change=part.indexes.seq, **stats, **sizes))
    # Of all tenants' doings only what concerns this one, too: how busy the service is, and which policy it applies.
    shared = {"step": engine.pressure.level.name.lower(), "policy": engine.policy.version}
    return {"indexes": indexes, "cache": engine.cache.stats(tenant), **shared, "trouble": _trouble(engine, tenant)}


def verify_disk(engine: Engine, progress: Progress | None = None) -> list[str]:
    """Return what is wrong with the catalogue and with the snapshots' files, a line each; reads all of them."""
    items = max(1, sum(engine.store.counts().values()))
    read = 0

    def count(rows: int) -> None:
        nonlocal read
        read += rows
        if progress:
            progress("catalogue", min(1.0, read / items))

    problems = engine.store.verify(count)
    found = list(snapshots_in(engine.settings.index_dir))
    for number, (_, snapshots, name) in enumerate(found):
        try:
            snapshots.verified(name)
        except SnapshotCorrupt as error:
            if (snapshots.folder / name).is_dir():  # or it has been pruned meanwhile
                problems.append(error.message)
        if progress:
            progress("snapshots", (number + 1) / len(found))
    return problems


def verify_live(engine: Engine, tenant: str, progress: Progress | None = None) -> list[str]:
    """Return what is wrong with the snapshots of `tenant`, and in what its live indexes differ from the catalogue."""
    return [problem for part in parts(engine) for problem in part.indexes.verify(progress, tenant)]


def changes_of_snapshots(folder: Path) -> list[int]:
    """Return the change log's positions at which the readable snapshots under `folder` were taken."""
    return [line["change"] for found in snapshots_in(folder) if "change" in (line := _shown(*found))]


def _trouble(engine: Engine, tenant: str) -> list[str]:
    found = [(part, part.indexes.trouble_of(tenant)) for part in parts(engine)]
    troubles = [f"{part.bundle}, shard {part.shard}: {trouble}" for part, trouble in found if trouble]
    return troubles + ([f"policy: {engine.policy.trouble}"] if engine.policy.trouble else [])


def _shown(shard: Path, snapshots: Snapshots, name: str) -> dict[str, Any]:
    place = {"generation": shard.parent.name, "shard": shard.name, "name": name}
    try:
        manifest = snapshots.manifest(name)
    except SnapshotCorrupt as error:
        return {**place, "damaged": error.message}
    size = sum(file["bytes"] for file in manifest.files.values())
    return {
        **place,
        "tenant": manifest.tenant,
        "answers": snapshots.current() == name,
        "vectors": manifest.count,
        "change": manifest.seq,
        "coder": manifest.coder,
        "created": manifest.created,
        "ssd_bytes": size,
        "ssd_bytes_a_vector": round(size / max(1, manifest.count), 1),
    }
