"""The exact index: every vector is compared. Right for small tenants."""

from __future__ import annotations

import faiss
import numpy as np

from sightline_cloud.index.base import Ids, ReadWriteLock, Vectors


class FlatIndex:
    """Exact search over float32 vectors of unit length: 4 d bytes of RAM a vector."""

    kind = "flat"

    def __init__(self, dim: int) -> None:
        self._index = faiss.IndexIDMap(faiss.IndexFlatIP(dim))
        self._lock = ReadWriteLock()

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def add(self, ids: Ids, vectors: Vectors) -> None:
        with self._lock.writing():
            self._index.add_with_ids(np.ascontiguousarray(vectors, np.float32), ids)

    def remove(self, ids: Ids) -> int:
        with self._lock.writing():
            return int(self._index.remove_ids(faiss.IDSelectorBatch(ids)))

    def search(self, queries: Vectors, k: int) -> tuple[Vectors, Ids]:
        with self._lock.reading():
            scores, ids = self._index.search(np.ascontiguousarray(queries, np.float32), k)
        return scores, ids
