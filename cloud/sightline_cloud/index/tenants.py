"""One index a tenant: built from the catalogue or opened from snapshots, and kept up with the change log."""

from __future__ import annotations

import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from sightline_cloud import crash
from sightline_cloud.catalog.feed import Change, Feed
from sightline_cloud.index.base import Ids, Index, Vectors
from sightline_cloud.index.build import Progress
from sightline_cloud.index.changes import apply
from sightline_cloud.index.compact import Live, Workshop
from sightline_cloud.index.flat import FlatIndex
from sightline_cloud.index.main import MainIndex
from sightline_cloud.index.planner import plan
from sightline_cloud.index.snapshot import HITS
from sightline_cloud.index.tiers import TieredIndex
from sightline_cloud.logs import log
from sightline_cloud.settings import Settings
from sightline_shared.codec import Codec
from sightline_shared.errors import ChangesPruned, IndexFailed, NoEarlierSnapshot, SnapshotCorrupt
from sightline_shared.where import Where

CHANGES_AT_ONCE = 10_000


class TenantIndexes:
    """The indexes of every tenant, for one generation (and shard) of the catalogue.

    Searches run at any time and in any thread. Changes of the indexes exclude one another; the long ones (build, compact,
    rollback, promote, erase) let `catch_up` through until the moment of the swap.
    """

    def __init__(
        self, feed: Feed, codec: Codec, settings: Settings, folder: Path | None = None, *, name: str = "index"
    ) -> None:
        """Open the snapshots under `folder`, or a temporary one, and build what is not there or not fit.

        `name` says what the snapshots are of, such as the generation and the shard: those of another name are refused.
        Raises StoreError, IndexFailed, ConfigInvalid.
        """
        self._temporary = tempfile.TemporaryDirectory(prefix="sightline-index-") if folder is None else None
        self._folder = Path(self._temporary.name) if self._temporary else folder or Path()
        self._folder.mkdir(parents=True, exist_ok=True)
        self._feed, self._codec, self._settings = feed, codec, settings
        self.workshop = Workshop(feed, codec, settings, self._folder, name)
        self._changing, self._remaking = threading.Lock(), threading.Lock()
        # What stopped the last catch_up, None when it went well.
        self._stopped: str | None = None
        self._none = FlatIndex(codec.dim, settings.filter_keys)
        self._versions: dict[str, int] = defaultdict(int)
        # Replaced, never changed: others go through it meanwhile.
        self._live: dict[str, Live] = {}
        self._seq = 0
        self._start()
        self._planned = time.monotonic()
        self.promote()

    @property
    def seq(self) -> int:
        """The position in the change log up to which the indexes know the catalogue."""
        return self._seq

    def version(self, tenant: str) -> int:
        """Return a number that grows after every change of what the tenant's index answers; 0 before the first."""
        return self._versions.get(tenant, 0)

    def kind(self, tenant: str) -> str:
        """Return what kind of index the tenant has: "none" before its first item."""
        live = self._live.get(tenant)
        return live.index.kind if live else "none"

    def search(
        self, tenant: str, queries: Vectors, k: int, where: Where | None = None, effort: float = 1.0
    ) -> tuple[Vectors, Ids]:
        """Return cosines and pks `(q, k)` among the tenant's items; pk -1 where there is none. `effort`: see `base.Index`.

        Raises FilterInvalid, IndexFailed.
        """
        live = self._live.get(tenant)
        # The setting belongs to the calling thread; one query, one core.
        faiss.omp_set_num_threads(1)
        try:
            return (live.index if live else self._none).search(queries, k, where or None, effort)
        except RuntimeError as error:  # what faiss raises
            raise IndexFailed(f"the index of tenant '{tenant}' failed: {str(error).splitlines()[-1]}") from error

    def catch_up(self) -> int:
        """Apply the change log from where the indexes stand; returns how many changes there were.

        Rows that are damaged are left out, tried again at the next call, and counted in `stats` and `trouble`.
        When it fails half way, the next call goes on from what was applied. Raises StoreError, IndexFailed.
        """
        with self._changing:
            try:
                applied = self._follow()
            except Exception as error:
                self._stopped = str(error)
                if isinstance(error, RuntimeError):  # what faiss raises
                    raise IndexFailed(f"the index could not take in changes: {error}") from error
                raise
            self._stopped = None
            return applied

    @property
    def trouble(self) -> str | None:
        """What stopped the last `catch_up`, or was left out by it, of all tenants; None when it went well."""
        return self._stopped or _damage(sum(len(live.damaged) for live in self._live.values()))

    def trouble_of(self, tenant: str) -> str | None:
        """Return what of `trouble` concerns `tenant`, in words that name nobody and nothing else."""
        if self._stopped:
            return "the index cannot follow the catalogue; the service's log says why, under 'catch_up_failed'."
        live = self._live.get(tenant)
        return _damage(len(live.damaged)) if live else None

    def stats(self) -> dict[str, dict[str, Any]]:
        """Return kind, sizes and snapshots of every tenant's index; keys that end in `_bytes` are bytes."""
        return {
            tenant: {
                **live.index.stats(),
                "damaged_rows": len(live.damaged),
                "snapshots": self.workshop.snapshots(tenant).names(),
            }
            for tenant, live in self._live.items()
        }

    def due(self) -> list[str]:
        """Return the tenants whose index has grown, shrunk or changed so much that it should be compacted, by name."""
        return sorted(tenant for tenant, live in self._live.items() if self._is_due(live.index))

    def compact(self, tenant: str, *, retrain: bool = False, progress: Progress | None = None) -> None:
        """Build the tenant's index from the catalogue while the old one answers, and swap.

        The lists' centroids are kept while they fit the number of items, unless `retrain` is set. `progress` is told
        the stage and its share that is done. Raises StoreError, IndexFailed.
        """
        with self._remaking:
            self._remake(tenant, retrain, progress)

    def build(self, progress: Progress | None = None) -> None:
        """Build every tenant's index from the catalogue, centroids and all."""
        for tenant in sorted({*self._feed.tenants(), *self._live}):
            self.compact(tenant, retrain=True, progress=progress)

    def rollback(self, tenant: str) -> str:
        """Have the snapshot before the one that answers answer, with all changes since; returns its name.

        Raises NoEarlierSnapshot, SnapshotCorrupt when it is damaged, and ChangesPruned when the change log
        does not reach back to it; then all stays as it is.
        """
        with self._remaking:
            snapshots = self.workshop.snapshots(tenant)
            older = [name for name in snapshots.names() if name < (snapshots.current() or "")]
            if not older:
                raise NoEarlierSnapshot(
                    f"rollback: expected a snapshot of '{tenant}' before the one that answers, got none."
                )
            fresh = self.workshop.open(tenant, older[-1])
            self._follow_alone(tenant, fresh)
            snapshots.point_to(older[-1])
            self._swap(tenant, fresh)
            return older[-1]

    def promote(self) -> dict[str, int]:
        """Put those lists into RAM that are asked for most, within the budget; returns how many of each tenant are there.

        Without a budget all are, and nothing is to be done.
        """
        budget = self._settings.index_ram_bytes
        if budget is None:
            return {}
        with self._remaking:
            now = time.monotonic()
            mains = self._mains()
            for main in mains.values():
                main.hits.decay(now - self._planned)
            self._planned = now
            spent = sum(live.index.stats()["ram_bytes"] for live in self._live.values())
            lists_now = sum(int(main.candidates().list_bytes[main.candidates().hot].sum()) for main in mains.values())
            masks = plan({tenant: main.candidates() for tenant, main in mains.items()}, budget - spent + lists_now)
            for tenant, main in mains.items():
                main.tier(masks[tenant])
                main.hits.save(self.workshop.snapshots(tenant).folder / HITS, main.folder.name)
            return {tenant: int(mask.sum()) for tenant, mask in masks.items()}

    def erase(self, tenant: str, pks: Sequence[int]) -> list[str]:
        """Remove every trace of items that the catalogue has removed; returns what was done, for the receipt.

        Indexes and snapshots that held one of them are built again without, and the old files unlinked. What a disk
        keeps of unlinked files is for the disk's encryption to hide. Raises IndexFailed while the catalogue has them.
        """
        self.catch_up()
        with self._remaking:
            snapshots = self.workshop.snapshots(tenant)
            snapshots.clean()
            if len(self._feed.rows(pks)):
                raise IndexFailed("erase: expected items that the catalogue has removed, got some that are there.")
            if tenant in self._live:
                self._remake(tenant, retrain=True, progress=None)
                crash.point("erase: index built again")
            else:  # all its items were removed before the last start
                snapshots.discard()
            doomed = [name for name in snapshots.names() if name != snapshots.current()]
            for name in doomed:
                snapshots.remove(name)
        lines = [f"index of {self.workshop.name}: built again without {len(pks)} items"]
        return lines + [f"snapshot {name} of {self.workshop.name}: removed" for name in doomed]

    def verify(self, progress: Progress | None = None, only: str | None = None) -> list[str]:
        """Return what is wrong with snapshots and indexes, of the tenant `only` or of all, a line each; none when all is well."""
        problems = []
        tenants = sorted({*self._feed.tenants(), *self._live}) if only is None else [only]
        for number, tenant in enumerate(tenants):
            snapshots = self.workshop.snapshots(tenant)
            for name in snapshots.names():
                try:
                    snapshots.verified(name)
                except SnapshotCorrupt as error:
                    if name in snapshots.names():  # or it has been pruned meanwhile
                        problems.append(error.message)
            problems += self._compared(tenant)
            if progress:
                progress(tenant, (number + 1) / len(tenants))
        return problems

    def close(self) -> None:
        """Remove the temporary folder, if there is one."""
        if self._temporary:
            self._temporary.cleanup()

    def _start(self) -> None:
        """Open or build all indexes."""
        position = self._feed.position()
        fresh = {tenant: self.workshop.start(tenant) for tenant in self._feed.tenants()}
        self.workshop.discard_others(fresh)
        self._take_over(fresh, min([position, *(live.applied for live in fresh.values())]))
        try:
            self._follow()
        except ChangesPruned:
            self._rebuild()

    def _rebuild(self) -> None:
        """Build all indexes from the catalogue: the change log does not reach back to where they stand."""
        log("index_rebuild", reason="the change log is pruned", seq=self._seq)
        position = self._feed.position()
        fresh = {tenant: self.workshop.build(tenant) for tenant in self._feed.tenants()}
        self._take_over(fresh, position)

    def _take_over(self, fresh: dict[str, Live], seq: int) -> None:
        gone = set(self._live) - set(fresh)
        # The indexes first: whoever sees the new position sees what belongs to it.
        self._live = fresh
        for tenant in {*fresh, *gone}:
            self._versions[tenant] += 1
        self._seq = seq

    def _follow(self) -> int:
        count = 0
        while True:
            # Read before the changes: when these end early, all up to it have been seen.
            position = self._feed.position()
            try:
                changes = self._feed.changes_since(self._seq, CHANGES_AT_ONCE)
            except ChangesPruned:
                self._rebuild()
                continue
            by_tenant: dict[str, list[Change]] = defaultdict(list)
            for change in changes:
                by_tenant[change.tenant].append(change)
            # Those with damaged rows, too: they are tried again.
            for tenant in {*by_tenant, *(tenant for tenant, live in self._live.items() if live.damaged)}:
                own = by_tenant[tenant]
                if tenant not in self._live:
                    empty = FlatIndex(self._codec.dim, self._settings.filter_keys)
                    self._live = {**self._live, tenant: Live(empty, self._seq)}
                if self._take_in(self._live[tenant], own):
                    self._versions[tenant] += 1
            count += len(changes)
            if len(changes) < CHANGES_AT_ONCE:
                self._seq = max(self._seq, position, *(change.seq for change in changes[-1:]))
                return count
            self._seq = changes[-1].seq

    def _take_in(self, live: Live, changes: Sequence[Change]) -> bool:
        """Apply those of `changes`, of the index's own tenant, that it does not know; returns whether it has changed."""
        fresh = [change for change in changes if change.seq > live.applied]
        before = live.damaged
        if fresh or before:
            live.damaged = apply(live.index, fresh, self._feed, before)
            live.applied = fresh[-1].seq if fresh else live.applied
        return bool(fresh) or live.damaged != before

    def _follow_alone(self, tenant: str, live: Live) -> None:
        """Bring an index that does not answer yet up to the end of the change log."""
        while True:
            position = self._feed.position()
            changes = self._feed.changes_since(live.applied, CHANGES_AT_ONCE)
            self._take_in(live, [change for change in changes if change.tenant == tenant])
            live.applied = max(live.applied, *(change.seq for change in changes[-1:]), 0)
            if len(changes) < CHANGES_AT_ONCE:
                live.applied = max(live.applied, position)
                return

    def _swap(self, tenant: str, fresh: Live) -> None:
        """Have `fresh` answer. What came since it was built is applied first: most of it while others may change too."""
        self._follow_alone(tenant, fresh)
        with self._changing:
            self._follow_alone(tenant, fresh)
            self._live = {**self._live, tenant: fresh}
            self._versions[tenant] += 1

    def _remake(self, tenant: str, retrain: bool, progress: Progress | None) -> None:
        fresh = self.workshop.in_background(tenant, retrain=retrain, progress=progress)
        old = self._live.get(tenant)
        if isinstance(fresh.index, TieredIndex) and old and isinstance(old.index, TieredIndex):
            fresh.index.main.inherit(old.index.main)
        self._swap(tenant, fresh)
        crash.point("compact: swapped")
        if fresh.index.kind == "flat":
            self.workshop.snapshots(tenant).discard()
        else:
            self.workshop.snapshots(tenant).prune(self._settings.snapshots_kept)
        log("index_swapped", tenant=tenant, kind=fresh.index.kind, vectors=len(fresh.index), seq=fresh.applied)

    def _mains(self) -> dict[str, MainIndex]:
        return {tenant: live.index.main for tenant, live in self._live.items() if isinstance(live.index, TieredIndex)}

    def _is_due(self, index: Index) -> bool:
        settings, stats = self._settings, index.stats()
        if isinstance(index, TieredIndex):
            changed = stats["delta"] + stats["tombstones"]
            return changed > settings.compact_share * stats["rows"] or len(index) < settings.ivf_min_vectors
        return len(index) >= settings.ivf_min_vectors or stats["tombstones"] > max(1000, len(index))

    def _compared(self, tenant: str) -> list[str]:
        with self._changing:
            self._follow()
            live = self._live.get(tenant)
            held = live.index.pks() if live else np.empty(0, np.int64)
            with self._feed.snapshot(tenant) as view:
                true = np.concatenate([rows.pks for rows in view.chunks] or [held[:0]])
                moved = live is not None and view.seq > self._seq
        missing, extra = np.setdiff1d(true, held), np.setdiff1d(held, true)
        if moved or not len(missing) + len(extra):
            return []
        return [f"index of tenant '{tenant}': {len(missing)} items are missing and {len(extra)} are too many."]


def _damage(rows: int) -> str | None:
    return f"{rows} rows of the catalogue are damaged, and cannot be found until they are replaced." if rows else None
