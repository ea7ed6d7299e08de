"""LanceDB: a table on disk with its default vector index."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import lancedb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sightline_bench.retrieval.contenders.base import BUILD_CHUNK, Queries, Rows, Vectors, mapped, padded
from sightline_bench.retrieval.contenders.buckets import buckets

TABLE = "vectors"


class Lance:
    """IVF_PQ as `create_index` makes it by default, refined 10 times from the vectors, as its guide recommends.

    Its core runs on a thread pool of its own: CPU time counts those threads too, and `threads` has no effect.
    """

    efforts = (5, 10, 20, 40, 80)
    reads_vectors = False
    settings: ClassVar[dict[str, Any]] = {
        "effort": "nprobes",
        "index": "IVF_PQ defaults: partitions and sub-vectors by the library",
        "metric": "cosine",
        "refine_factor": 10,
    }

    def __init__(self) -> None:
        self.version = str(lancedb.__version__)
        self._where: str | None = None

    def build(self, vectors_file: Path, folder: Path, threads: int) -> None:
        vectors = mapped(vectors_file)
        schema = pa.schema(
            [("id", pa.int64()), ("bucket", pa.int32()), ("vector", pa.list_(pa.float32(), vectors.shape[1]))]
        )
        table = lancedb.connect(folder).create_table(TABLE, data=_batches(vectors, schema), schema=schema)
        table.create_index(metric="cosine", vector_column_name="vector")

    def open(self, vectors_file: Path, folder: Path) -> None:
        self._table: Any = lancedb.connect(folder).open_table(TABLE)

    def search(self, queries: Queries, k: int, effort: int, threads: int = 1) -> Rows:
        return padded([self._one(query, k, effort) for query in queries], k)

    def restrict(self, passing: int | None) -> None:
        self._where = None if passing is None else f"bucket < {passing}"

    def _one(self, query: NDArray[np.float32], k: int, effort: int) -> Rows:
        asked = self._table.search(query, vector_column_name="vector").nprobes(effort).refine_factor(10)
        if self._where:
            asked = asked.where(self._where, prefilter=True)
        found = asked.limit(k).select(["id", "_distance"]).to_arrow()
        rows: Rows = found["id"].to_numpy().astype(np.int64)
        return rows


def _batches(vectors: Vectors, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    for start in range(0, len(vectors), BUILD_CHUNK):
        chunk = vectors[start : start + BUILD_CHUNK].astype(np.float32)
        ids = np.arange(start, start + len(chunk), dtype=np.int64)
        column = pa.FixedSizeListArray.from_arrays(pa.array(chunk.ravel()), vectors.shape[1])
        yield pa.RecordBatch.from_arrays([pa.array(ids), pa.array(buckets(ids)), column], schema=schema)


def create(_argument: str) -> Lance:
    return Lance()
