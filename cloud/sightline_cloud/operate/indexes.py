"""Changes of the indexes: built, compacted, promoted, rolled back, while queries are answered.

Each is told the tenants that it is for, and does its work in every live generation and shard, one after another.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sightline_cloud.engine import Engine
from sightline_cloud.index.snapshot import Snapshots
from sightline_cloud.index.tenants import TenantIndexes
from sightline_shared.errors import ConfigInvalid

# Told what is being done, and the share of it that is done.
Progress = Callable[[str, float], None]
Done = list[dict[str, Any]]


@dataclass(frozen=True, eq=False)
class Part:
    """One shard of one live generation."""

    generation: str
    bundle: str
    shard: int
    indexes: TenantIndexes

    def line(self, tenant: str, **fields: Any) -> dict[str, Any]:
        """Return a line of a report about this part of `tenant`."""
        return {"tenant": tenant, "generation": self.generation, "bundle": self.bundle, "shard": self.shard, **fields}


def parts(engine: Engine) -> Iterator[Part]:
    """Return every part of the engine; opens the indexes."""
    for live in engine.generations.values():
        for shard, indexes in enumerate(live.indexes.shards):
            yield Part(live.key, live.bundle.label, shard, indexes)


def compact(
    engine: Engine, tenants: Sequence[str], *, retrain: bool = False, progress: Progress | None = None
) -> dict[str, Any]:
    """Build the indexes anew without delta and tombstones; with `retrain` their centroids too. Raises StoreError, IndexFailed.

    What opening the indexes has just built, since it was not there, is not built twice.
    """
    before = {each.folder: each.current() for _, each, _ in snapshots_in(engine.settings.index_dir)}
    done: Done = []
    for part in parts(engine):
        for tenant in tenants:
            began = time.perf_counter()
            snapshots = part.indexes.workshop.snapshots(tenant)
            if snapshots.current() == before.get(snapshots.folder):
                part.indexes.compact(tenant, retrain=retrain, progress=_named(progress, part, tenant))
            took = round(time.perf_counter() - began, 3)
            done.append(part.line(tenant, seconds=took, **_shown(part.indexes.stats()[tenant])))
    return {"done": done}


def snapshots_in(folder: Path) -> Iterator[tuple[Path, Snapshots, str]]:
    """Return every snapshot under `folder`: that of its shard, the tenant's, and its name."""
    for shard in sorted(folder.glob("*/*-of-*")):
        for tenant in sorted(path for path in shard.iterdir() if path.is_dir()):
            snapshots = Snapshots(tenant)
            for name in snapshots.names():
                yield shard, snapshots, name


def rollback(engine: Engine, tenant: str) -> dict[str, Any]:
    """Have the snapshots before the ones that answer answer, with all changes since.

    Raises IndexFailed when there is none, SnapshotCorrupt or ChangesPruned when it cannot be used.
    """
    done = []
    for part in parts(engine):
        name = part.indexes.rollback(tenant)
        done.append(part.line(tenant, snapshot=name, **_shown(part.indexes.stats()[tenant])))
    return {"done": done}


def promote(engine: Engine, tenants: Sequence[str]) -> dict[str, Any]:
    """Put the lists that are asked for most into RAM, within the budget of the settings, and the others on the SSD."""
    done = []
    for part in parts(engine):
        part.indexes.promote()
        stats = part.indexes.stats()
        done += [part.line(tenant, **_shown(stats[tenant])) for tenant in tenants if tenant in stats]
    return {"budget_bytes": engine.settings.index_ram_bytes, "done": done}


def known_tenants(engine: Engine, wanted: str | None) -> list[str]:
    """Return the tenant that is wanted, or all; raises ConfigInvalid for one that has no items."""
    known = engine.store.counts()
    if wanted is None:
        return sorted(known)
    if wanted not in known:
        raise ConfigInvalid(f"tenant: expected one that has items, got {wanted!r}.", hint="sightline index stats")
    return [wanted]


def _shown(stats: dict[str, Any]) -> dict[str, Any]:
    names = ("kind", "vectors", "ram_bytes", "ssd_bytes", "lists", "lists_in_ram", "delta", "tombstones")
    return {name: stats[name] for name in names if name in stats}


def _named(progress: Progress | None, part: Part, tenant: str) -> Progress | None:
    if progress is None:
        return None
    return lambda stage, share: progress(f"{tenant}, {part.bundle}, shard {part.shard}: {stage}", share)
