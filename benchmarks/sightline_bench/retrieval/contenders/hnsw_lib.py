"""hnswlib: the graph of the HNSW paper's authors over float32 vectors."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

import hnswlib
import numpy as np
from numpy.typing import NDArray

from sightline_bench.retrieval.contenders.base import BUILD_CHUNK, Queries, Rows, mapped, padded
from sightline_bench.retrieval.contenders.buckets import allowed

FILE = "index.hnsw"


class Hnswlib:
    """README's example: M 16, ef_construction 200."""

    efforts = (16, 32, 64, 128, 256)
    reads_vectors = False
    settings: ClassVar[dict[str, Any]] = {
        "effort": "ef",
        "M": 16,
        "ef_construction": 200,
        "space": "ip",
        "vectors": "float32",
    }

    def __init__(self) -> None:
        self.version = version("hnswlib")
        self._allowed: NDArray[np.bool_] | None = None

    def build(self, vectors_file: Path, folder: Path, threads: int) -> None:
        vectors = mapped(vectors_file)
        index = hnswlib.Index(space="ip", dim=vectors.shape[1])
        index.init_index(max_elements=len(vectors), M=16, ef_construction=200, random_seed=0)
        for start in range(0, len(vectors), BUILD_CHUNK):
            chunk = vectors[start : start + BUILD_CHUNK].astype(np.float32)
            index.add_items(chunk, np.arange(start, start + len(chunk)), num_threads=threads)
        index.save_index(str(folder / FILE))

    def open(self, vectors_file: Path, folder: Path) -> None:
        self._index = hnswlib.Index(space="ip", dim=mapped(vectors_file).shape[1])
        self._index.load_index(str(folder / FILE))

    def search(self, queries: Queries, k: int, effort: int, threads: int = 1) -> Rows:
        self._index.set_ef(max(effort, k))
        if self._allowed is None:
            return np.asarray(self._index.knn_query(queries, k, num_threads=threads)[0]).astype(np.int64)
        return padded([self._filtered(query, k) for query in queries], k)

    def restrict(self, passing: int | None) -> None:
        self._allowed = None if passing is None else allowed(self._index.get_current_count(), passing)

    def _filtered(self, query: NDArray[np.float32], k: int) -> Rows:
        flags = self._allowed
        assert flags is not None
        # It raises rather than return fewer than k: ask for fewer until it can.
        while k:
            try:
                labels, _ = self._index.knn_query(query, k, num_threads=1, filter=lambda label: bool(flags[label]))
                return np.asarray(labels[0]).astype(np.int64)
            except RuntimeError:
                k -= 1
        return np.empty(0, np.int64)


def create(_argument: str) -> Hnswlib:
    return Hnswlib()
