"""The exact index: every vector is compared. Right for small tenants."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import faiss
import numpy as np

from sightline_cloud.catalog.feed import Rows
from sightline_cloud.index.base import Ids, ReadWriteLock, Vectors, nothing
from sightline_cloud.index.calls import nearest
from sightline_cloud.index.filters import Postings
from sightline_cloud.index.idmap import GrowingIds
from sightline_cloud.index.marks import Allowed, Marks
from sightline_shared.where import Where


class FlatIndex:
    """Exact search over float16 vectors of unit length: 2 d bytes of RAM a vector, and those of removed ones too."""

    kind = "flat"

    def __init__(self, dim: int, filter_keys: Iterable[str]) -> None:
        self._ids, self._marks, self._lock = GrowingIds(), Marks(Postings(filter_keys)), ReadWriteLock()
        self._vectors = self._storage(dim)

    def __len__(self) -> int:
        return len(self._marks)

    def add(self, rows: Rows) -> None:
        with self._lock.writing():
            self._marks.remove(_present(self._ids.rows_of(rows.pks.tolist())))
            self._append(rows.vectors.astype(np.float32))
            self._ids.append(rows.pks)
            self._marks.append(rows.metadata)

    def update(self, rows: Rows) -> None:
        with self._lock.writing():
            found = self._ids.rows_of(rows.pks.tolist())
            here = np.flatnonzero(found >= 0).tolist()
            self._marks.update(found[here].tolist(), [rows.metadata[number] for number in here])

    def remove(self, pks: Sequence[int]) -> int:
        return self._marks.remove(_present(self._ids.rows_of(pks)))

    def search(self, queries: Vectors, k: int, where: Where | None = None, effort: float = 1.0) -> tuple[Vectors, Ids]:
        with self._lock.reading():
            allowed = self._marks.allowed(where)
            if not allowed.count:
                return nothing(len(queries), k)
            cosines, rows = self._nearest(np.ascontiguousarray(queries, np.float32), k, allowed)
            if -1 in rows[:, -1].tolist():
                cosines[rows < 0] = -np.inf
            return cosines, self._ids.pks_of(rows)

    def pks(self) -> Ids:
        there = np.ones(len(self._ids), bool)
        there[list(self._marks.removed)] = False
        found: Ids = np.sort(self._ids.all[there])
        return found

    def stats(self) -> dict[str, Any]:
        rows_bytes = len(self._ids) * self._row_bytes() + self._ids.ram_bytes
        return {
            "kind": self.kind,
            "vectors": len(self),
            "tombstones": len(self._marks.removed),
            "ram_bytes": rows_bytes + self._marks.postings.ram_bytes,
            "ssd_bytes": 0,
        }

    def _storage(self, dim: int) -> faiss.Index:
        return faiss.IndexScalarQuantizer(dim, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)

    def _append(self, vectors: Vectors) -> None:
        self._vectors.add(vectors)

    def _nearest(self, queries: Vectors, k: int, allowed: Allowed) -> tuple[Vectors, Ids]:
        """Return cosines and rows `(q, k)`."""
        parameters = faiss.SearchParameters(sel=allowed.selector) if allowed.selector else None
        return nearest(self._vectors, queries, k, parameters)

    def _row_bytes(self) -> int:
        return 2 * int(self._vectors.d)


def _present(rows: Ids) -> list[int]:
    present: list[int] = rows[rows >= 0].tolist()
    return present
