"""One index a tenant, built from the catalogue and kept up with its change log."""

from __future__ import annotations

import threading
from collections import defaultdict

import faiss
import numpy as np

from sightline_cloud.catalog.store import Change, Store
from sightline_cloud.index.base import Ids, Index, Vectors
from sightline_cloud.index.flat import FlatIndex
from sightline_cloud.index.ivf import IvfIndex, IvfSettings
from sightline_cloud.logs import log
from sightline_cloud.settings import Settings
from sightline_shared.codec import Codec
from sightline_shared.errors import IndexFailed

FETCH_CHUNK = 500


class TenantIndexes:
    """The indexes of every tenant. `catch_up` may be called from any thread, also while queries run."""

    def __init__(self, store: Store, codec: Codec, settings: Settings) -> None:
        self._store, self._codec, self._settings = store, codec, settings
        self._catching_up = threading.Lock()
        # What stopped the last catch_up, None when it went well.
        self.trouble: str | None = None
        self._seq, loaded = store.load(codec.dim)
        self._indexes = {tenant: self._build(pks, vectors) for tenant, (pks, vectors) in loaded.items()}
        # The highest pk an index has seen. Pks only grow, so an addition at or below it is in there already.
        self._high = {tenant: int(pks.max()) for tenant, (pks, _) in loaded.items()}

    @property
    def seq(self) -> int:
        """The position in the change log up to which the indexes know the catalogue."""
        return self._seq

    def stats(self) -> dict[str, dict[str, int | str]]:
        """Return kind and size of every tenant's index."""
        return {tenant: {"kind": index.kind, "vectors": len(index)} for tenant, index in list(self._indexes.items())}

    def search(self, tenant: str, queries: Vectors, k: int) -> tuple[Vectors, Ids]:
        """Return cosines and pks `(n, k)` among the tenant's items; id -1 where there is none. Raises IndexFailed."""
        index = self._indexes.get(tenant)
        if index is None or not len(index):
            return np.full((len(queries), k), -np.inf, np.float32), np.full((len(queries), k), -1, np.int64)
        # The setting belongs to the calling thread; one query, one core.
        faiss.omp_set_num_threads(1)
        try:
            return index.search(queries, k)
        except RuntimeError as error:  # what faiss raises
            raise IndexFailed(f"the index of tenant '{tenant}' failed: {str(error).splitlines()[-1]}") from error

    def catch_up(self) -> int:
        """Apply the change log from where the indexes stand; returns how many changes there were.

        When it fails half way, the next call goes on from what was applied. Raises StoreError, IndexFailed.
        """
        with self._catching_up:
            try:
                applied = self._follow()
            except Exception as error:
                self.trouble = str(error)
                if isinstance(error, RuntimeError):  # what faiss raises
                    raise IndexFailed(f"the index could not take in changes: {error}") from error
                raise
            self.trouble = None
            return applied

    def _follow(self) -> int:
        changes = self._store.changes_since(self._seq)
        by_tenant: dict[str, list[Change]] = defaultdict(list)
        for change in changes:
            by_tenant[change.tenant].append(change)
        for tenant, own in by_tenant.items():
            self._apply(tenant, own)
        if changes:
            self._seq = changes[-1].seq
        return len(changes)

    def _apply(self, tenant: str, changes: list[Change]) -> None:
        removed = {change.pk for change in changes if change.op == "remove"}
        high = self._high.get(tenant, 0)
        added = [c.pk for c in changes if c.op == "add" and c.pk > high and c.pk not in removed]
        index = self._indexes.setdefault(tenant, FlatIndex(self._codec.dim))
        if removed:
            index.remove(np.array(sorted(removed), np.int64))
        for start in range(0, len(added), FETCH_CHUNK):
            chunk = added[start : start + FETCH_CHUNK]
            # One that was removed meanwhile is not there any more; its removal comes later in the log.
            found = self._store.vectors(chunk, self._codec.dim)
            if found:
                index.add(np.array(list(found), np.int64), np.stack(list(found.values())))
            # Chunk by chunk: when the next one fails, this one is not added a second time.
            self._high[tenant] = chunk[-1]
        if index.kind == "flat" and len(index) >= self._settings.ivf_min_vectors:
            self._rebuild(tenant)

    def _rebuild(self, tenant: str) -> None:
        _, loaded = self._store.load(self._codec.dim, tenant)
        if tenant not in loaded:  # emptied meanwhile; the removals come later in the log
            return
        pks, vectors = loaded[tenant]
        log("index_rebuild", tenant=tenant, vectors=len(pks))
        self._indexes[tenant], self._high[tenant] = self._build(pks, vectors), int(pks.max())

    def _build(self, pks: Ids, vectors: Vectors) -> Index:
        index: Index
        if len(pks) < self._settings.ivf_min_vectors:
            index = FlatIndex(self._codec.dim)
        else:
            chosen = IvfSettings(self._settings.nprobe, self._settings.rescore)
            index = IvfIndex(vectors, self._codec, lambda ids: self._store.vectors(ids, self._codec.dim), chosen)
        index.add(pks, vectors)
        return index
