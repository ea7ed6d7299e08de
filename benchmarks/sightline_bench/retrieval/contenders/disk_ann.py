"""DiskANN: a Vamana graph on disk that is walked by compressed codes in RAM."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

import diskannpy
import numpy as np

from sightline_bench.retrieval.contenders.base import Queries, Rows, mapped

CODE_BYTES = 64
OPEN_FOR_THREADS = 2


class DiskAnn:
    """Its documentation's middle values: degree 64, build complexity 100, beam width 2; codes of 64 bytes in RAM."""

    efforts = (10, 20, 40, 80, 160)
    reads_vectors = False
    settings: ClassVar[dict[str, Any]] = {
        "effort": "complexity",
        "graph_degree": 64,
        "build complexity": 100,
        "beam_width": 2,
        "num_nodes_to_cache": 0,
        "search_memory_maximum": f"{CODE_BYTES} bytes a vector",
        "vectors": "float32 on disk",
    }

    def __init__(self) -> None:
        self.version = version("diskannpy")

    def build(self, vectors_file: Path, folder: Path, threads: int) -> None:
        vectors = mapped(vectors_file).astype(np.float32)
        diskannpy.build_disk_index(
            vectors,
            distance_metric="l2",
            index_directory=str(folder),
            complexity=100,
            graph_degree=64,
            # Past the codes it takes what a quarter of a gigabyte and more are set aside for.
            search_memory_maximum=CODE_BYTES * len(vectors) / 2**30,
            build_memory_maximum=3.0,
            num_threads=threads,
        )

    def open(self, vectors_file: Path, folder: Path) -> None:
        # A query takes one thread. With room for one its opening waits for itself: it reads the start node while it
        # holds what it reads with.
        self._index = diskannpy.StaticDiskIndex(
            str(folder), num_threads=OPEN_FOR_THREADS, num_nodes_to_cache=0, cache_mechanism=0
        )

    def search(self, queries: Queries, k: int, effort: int, threads: int = 1) -> Rows:
        if len(queries) == 1:
            return np.asarray(self._index.search(queries[0], k, max(effort, k))[0]).astype(np.int64)[np.newaxis]
        return np.asarray(self._index.batch_search(queries, k, max(effort, k), threads)[0]).astype(np.int64)


def create(_argument: str) -> DiskAnn:
    return DiskAnn()
