"""Makes one tenant's index: opened from a snapshot, or built anew from the catalogue, which is also how it is compacted.

A compaction writes a new snapshot of what the catalogue holds; delta and tombstones of the old index go with it. Queries
are answered by the old one meanwhile.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import faiss
import numpy as np

from sightline_cloud.catalog.feed import Feed
from sightline_cloud.catalog.feed import Snapshot as View
from sightline_cloud.index.base import Index
from sightline_cloud.index.build import CHUNK_ROWS, Progress, Trained, emptied, write_files
from sightline_cloud.index.coders import coder_for
from sightline_cloud.index.delta import DeltaIndex
from sightline_cloud.index.flat import FlatIndex
from sightline_cloud.index.main import FILES, PKS, SPACE, VECTORS, MainIndex
from sightline_cloud.index.rerank import read_vectors
from sightline_cloud.index.snapshot import CURRENT, HITS, Manifest, Snapshots, read_manifest
from sightline_cloud.index.tiers import TieredIndex
from sightline_cloud.logs import log
from sightline_cloud.settings import Settings
from sightline_shared.codec import Codec
from sightline_shared.errors import ConfigInvalid, SnapshotCorrupt, StoreCorrupt

NICENESS = 10
COMPARED_ROWS = 256
TENANT = re.compile(r"[0-9a-f]{32}")


@dataclass(eq=False)
class Live:
    """An index, the change log's position up to which it knows the catalogue, and the pks that it lacks as they are damaged."""

    index: Index
    applied: int
    damaged: frozenset[int] = frozenset()


def tenant_folder(folder: Path, tenant: str) -> Path:
    """Return where a tenant's snapshots are under the folder of a generation and shard; the name says nothing of the tenant's."""
    return folder / hashlib.blake2b(tenant.encode(), digest_size=16).hexdigest()


class Workshop:
    """Opens and builds indexes of one generation (and shard), which `name` names, under one folder."""

    def __init__(self, feed: Feed, codec: Codec, settings: Settings, folder: Path, name: str) -> None:
        """Raises ConfigInvalid."""
        self._feed, self._codec, self._settings = feed, codec, settings
        self._folder = folder
        # Codes of another codec would be searched with the wrong tables.
        self.name = name
        self._identity = f"{name} {hashlib.sha256(codec.to_bytes()).hexdigest()[:16]}"
        self._coder = coder_for(settings.list_coder, codec)
        # A compaction and a rebuild (the change log was pruned meanwhile) would write into the same folder.
        self._building = threading.Lock()
        if settings.index_ram_bytes is not None and not self._coder.mappable:
            raise ConfigInvalid(f"index_ram_bytes: expected a list_coder other than '{settings.list_coder}' with it.")

    def snapshots(self, tenant: str) -> Snapshots:
        """Return the tenant's snapshots."""
        return Snapshots(tenant_folder(self._folder, tenant))

    def start(self, tenant: str) -> Live:
        """Return the tenant's index from its snapshot, or, when that is not there or not fit, from the catalogue."""
        snapshots = self.snapshots(tenant)
        snapshots.clean()
        name = snapshots.current()
        try:
            if name is not None:
                return self.open(tenant, name)
            if snapshots.names():
                raise SnapshotCorrupt(f"{snapshots.folder / CURRENT}: expected the name of a snapshot that is there.")
        except SnapshotCorrupt as error:
            log("snapshot_refused", tenant=tenant, snapshot=name, reason=error.message)
        # Nothing of what was refused is used again, not even its centroids.
        live = self.build(tenant, retrain=True)
        if live.index.kind == FlatIndex.kind:
            snapshots.discard()
        return live

    def open(self, tenant: str, name: str) -> Live:
        """Open a snapshot; raises SnapshotCorrupt when it is damaged, or does not belong to catalogue and settings."""
        snapshots = self.snapshots(tenant)
        manifest = snapshots.verified(name)
        self._check(snapshots.folder / name, manifest, tenant)
        self._check_rows(snapshots.folder / name, manifest)
        settings, keys = self._settings, self._settings.filter_keys
        main = MainIndex(
            snapshots.folder / name,
            self._codec.dim,
            keys,
            settings.nprobe,
            settings.rescore,
            in_ram=settings.index_ram_bytes is None,
        )
        main.hits.load(snapshots.folder / HITS, name)
        return Live(TieredIndex(main, DeltaIndex(self._codec.dim, keys)), manifest.seq)

    def build(self, tenant: str, *, retrain: bool = False, progress: Progress | None = None) -> Live:
        """Build the tenant's index from the catalogue; a large one becomes the snapshot that answers after a restart.

        Raises StoreError, IndexFailed.
        """
        with self._building:
            with self._feed.snapshot(tenant, CHUNK_ROWS) as view:
                if view.count < self._settings.ivf_min_vectors:
                    return self._build_flat(tenant, view)
                log("index_build", tenant=tenant, vectors=view.count)
                snapshots = self.snapshots(tenant)
                old = None if retrain else self._old_centroids(snapshots)
                building = snapshots.begin()
                trained_on = write_files(
                    building,
                    view,
                    self._coder,
                    self._settings.filter_keys,
                    old,
                    progress or (lambda stage, share: None),
                )
                manifest = self._manifest(tenant, view, trained_on)
            name = snapshots.publish(building, manifest)
        live = self.open(tenant, name)
        live.damaged = frozenset(view.damaged)
        return live

    def in_background(self, tenant: str, *, retrain: bool, progress: Progress | None) -> Live:
        """Build as `build` does, in a thread that gives way to queries."""
        done: list[Live] = []
        failed: list[BaseException] = []

        def work() -> None:
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
            faiss.omp_set_num_threads(self._settings.build_threads)
            try:
                done.append(self.build(tenant, retrain=retrain, progress=progress))
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=work, name="sightline-build")
        thread.start()
        thread.join()
        if failed:
            raise failed[0]
        return done[0]

    def discard_others(self, tenants: Iterable[str]) -> None:
        """Remove this catalogue's snapshots of all but `tenants`: they would hold the change log for ever."""
        kept = {tenant_folder(self._folder, tenant) for tenant in tenants}
        for folder in self._folder.iterdir():
            if folder not in kept and TENANT.fullmatch(folder.name):
                snapshots = Snapshots(folder)
                names = snapshots.names()
                if not names or any(self._is_ours(folder / name) for name in names):
                    snapshots.discard()

    def _build_flat(self, tenant: str, view: View) -> Live:
        index = FlatIndex(self._codec.dim, self._settings.filter_keys)
        for rows in view.chunks:
            index.add(rows)
        return Live(index, view.seq, frozenset(view.damaged))

    def _old_centroids(self, snapshots: Snapshots) -> Trained | None:
        name = snapshots.current()
        if name is None:
            return None
        try:
            manifest = snapshots.verified(name)
            fits = manifest.coder == self._coder.name and manifest.name == self._identity
            return emptied(snapshots.folder / name, manifest.trained_on) if fits else None
        except SnapshotCorrupt:
            return None

    def _manifest(self, tenant: str, view: View, trained_on: int) -> Manifest:
        return Manifest(
            name=self._identity,
            catalogue_id=self._feed.catalogue_id,
            tenant=tenant,
            seq=view.seq,
            count=view.count - len(view.damaged),
            dim=self._codec.dim,
            coder=self._coder.name,
            trained_on=trained_on,
            filter_keys=list(self._settings.filter_keys),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    def _check(self, folder: Path, manifest: Manifest, tenant: str) -> None:
        expected = {
            "name": self._identity,
            "catalogue_id": self._feed.catalogue_id,
            "tenant": tenant,
            "dim": self._codec.dim,
            "coder": self._coder.name,
            "filter_keys": list(self._settings.filter_keys),
        }
        for field, value in expected.items():
            if getattr(manifest, field) != value:
                raise SnapshotCorrupt(f"{folder}: expected {field} {value!r}, got {getattr(manifest, field)!r}.")
        if set(manifest.files) != set(FILES):
            raise SnapshotCorrupt(f"{folder}: expected the files {sorted(FILES)}, got {sorted(manifest.files)}.")
        rows, dim = manifest.count, manifest.dim
        sizes = {PKS: 8 * rows, VECTORS: 2 * dim * rows, SPACE: 4 * dim * (1 + len(self._coder.matrix))}
        for file, size in sizes.items():
            if manifest.files[file]["bytes"] != size:
                raise SnapshotCorrupt(f"{folder / file}: expected {size} bytes, got {manifest.files[file]['bytes']}.")
        if manifest.seq > self._feed.position():
            # The catalogue was put back from a backup: what the snapshot knows more of never happened.
            raise SnapshotCorrupt(f"{folder}: expected a change up to {self._feed.position()}, got {manifest.seq}.")

    def _check_rows(self, folder: Path, manifest: Manifest) -> None:
        """Compare the newest vectors with the catalogue's: one that was put back and has gone on gives pks to others."""
        first = max(0, manifest.count - COMPARED_ROWS)
        pks = np.fromfile(folder / PKS, "<i8", offset=8 * first)
        vectors = read_vectors(folder / VECTORS, manifest.dim, first, COMPARED_ROWS)
        try:
            there = self._feed.rows(pks.tolist())
        except StoreCorrupt:  # whoever asks for the damaged row is told so; the others shall be found
            return
        if not np.array_equal(vectors[np.isin(pks, there.pks)], there.vectors):
            raise SnapshotCorrupt(f"{folder / VECTORS}: expected the catalogue's vectors, got others.")

    def _is_ours(self, folder: Path) -> bool:
        try:
            return read_manifest(folder).catalogue_id == self._feed.catalogue_id
        except SnapshotCorrupt:
            return False
