"""usearch: a graph over half-precision vectors, loaded into RAM."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import usearch
from usearch.index import Index, Matches

from sightline_bench.retrieval.contenders.base import BUILD_CHUNK, Queries, Rows, mapped, padded

FILE = "index.usearch"


class Usearch:
    """Its defaults: connectivity 16, expansion_add 128; cosine over bfloat16."""

    efforts = (16, 32, 64, 128, 256)
    reads_vectors = False
    settings: ClassVar[dict[str, Any]] = {
        "effort": "expansion_search",
        "connectivity": 16,
        "expansion_add": 128,
        "metric": "cos",
        "dtype": "bf16",
    }

    def __init__(self) -> None:
        self.version = str(usearch.__version__)

    def build(self, vectors_file: Path, folder: Path, threads: int) -> None:
        vectors = mapped(vectors_file)
        index = Index(ndim=vectors.shape[1], metric="cos", dtype="bf16", connectivity=16, expansion_add=128)
        for start in range(0, len(vectors), BUILD_CHUNK):
            chunk = vectors[start : start + BUILD_CHUNK].astype(np.float32)
            index.add(np.arange(start, start + len(chunk)), chunk, threads=threads)
        index.save(str(folder / FILE))

    def open(self, vectors_file: Path, folder: Path) -> None:
        self._index = Index(ndim=mapped(vectors_file).shape[1], metric="cos", dtype="bf16", connectivity=16)
        self._index.load(str(folder / FILE))

    def search(self, queries: Queries, k: int, effort: int, threads: int = 1) -> Rows:
        self._index.expansion_search = effort
        if len(queries) == 1:
            found = self._index.search(queries[0], k, threads=1)
            assert isinstance(found, Matches)
            return padded([found.keys.astype(np.int64)], k)
        batch = self._index.search(queries, k, threads=threads)
        return padded([row[:count].astype(np.int64) for row, count in zip(batch.keys, batch.counts, strict=True)], k)


def create(_argument: str) -> Usearch:
    return Usearch()
