"""Intel's Scalable Vector Search: a Vamana graph over float16 vectors.

Its compressed forms (LVQ, LeanVec) are for Intel's processors and refuse others; float16 runs everywhere.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import svs

from sightline_bench.retrieval.contenders.base import Queries, Rows, mapped


class ScalableVs:
    """The documentation's example: degree 64, window 128, alpha 1.2 for L2."""

    efforts = (10, 20, 40, 80, 160)
    reads_vectors = False
    settings: ClassVar[dict[str, Any]] = {
        "effort": "search_window_size",
        "graph_max_degree": 64,
        "window_size": 128,
        "alpha": 1.2,
        "vectors": "float16",
    }

    def __init__(self) -> None:
        self.version = version("scalable-vs")

    def build(self, vectors_file: Path, folder: Path, threads: int) -> None:
        parameters = svs.VamanaBuildParameters(graph_max_degree=64, window_size=128, alpha=1.2)
        vectors = np.ascontiguousarray(mapped(vectors_file))
        index = svs.Vamana.build(parameters, vectors, svs.DistanceType.L2, num_threads=threads)
        index.save(*(str(folder / part) for part in ("config", "graph", "data")))

    def open(self, vectors_file: Path, folder: Path) -> None:
        self._index = svs.Vamana(
            str(folder / "config"),
            svs.GraphLoader(str(folder / "graph")),
            svs.VectorDataLoader(str(folder / "data"), svs.DataType.float16),
            svs.DistanceType.L2,
            query_type=svs.DataType.float32,
            num_threads=1,
        )

    def search(self, queries: Queries, k: int, effort: int, threads: int = 1) -> Rows:
        if self._index.num_threads != threads:
            self._index.num_threads = threads
        self._index.search_window_size = max(effort, k)
        return np.asarray(self._index.search(queries, k)[0]).astype(np.int64)


def create(_argument: str) -> ScalableVs:
    return ScalableVs()
