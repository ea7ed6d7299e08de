"""The limit: nothing but faiss's own search over the very lists that Sightline built, and the re-rank of what it finds.

The re-rank is Sightline's (plain preads take four times as long), so that the difference is what the service's index adds:
the seam, the choice of lists, tombstones, counting, ids, the merge.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import faiss
import numpy as np

from sightline_bench.retrieval.contenders.base import Queries, Rows, padded
from sightline_cloud.index.main import LISTS, VECTORS, read_space
from sightline_cloud.index.rerank import Reranker
from sightline_cloud.index.tail import COARSE_EF_SEARCH

CANDIDATES = 100


class Bare:
    """faiss alone, as its users call it."""

    efforts = (4, 8, 16, 32, 64)
    reads_vectors = False

    def __init__(self) -> None:
        self.version = str(faiss.__version__)
        self.settings: dict[str, Any] = {"effort": "nprobe", "candidates": CANDIDATES}

    def open(self, vectors_file: Path, folder: Path) -> None:
        (lists,) = folder.rglob(LISTS)
        self._index = faiss.read_index(str(lists), faiss.IO_FLAG_SKIP_PRECOMPUTE_TABLE)
        faiss.downcast_index(self._index.quantizer).hnsw.efSearch = COARSE_EF_SEARCH
        dim = np.load(vectors_file, mmap_mode="r").shape[1]
        self._mean, self._matrix = read_space(lists.parent, dim)
        self._reranker = Reranker(lists.parent / VECTORS, dim)

    def search(self, queries: Queries, k: int, effort: int, threads: int = 1) -> Rows:
        faiss.omp_set_num_threads(threads)
        placed = np.ascontiguousarray((queries - self._mean) @ self._matrix.T, np.float32)
        parameters: Any = faiss.SearchParametersIVF(nprobe=effort)
        _, found = self._index.search(placed, CANDIDATES, params=parameters)
        return padded([self._best(query, rows, k) for query, rows in zip(queries, found, strict=True)], k)

    def _best(self, query: Any, rows: Rows, k: int) -> Rows:
        rows = rows[rows >= 0]
        best: Rows = rows[(-self._reranker.cosines(query, rows)).argsort()[:k]]
        return best


def create(_argument: str) -> Bare:
    return Bare()
