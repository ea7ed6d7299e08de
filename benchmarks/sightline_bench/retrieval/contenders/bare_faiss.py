"""faiss itself: IVF with HNSW over the centroids, compressed lists in RAM, re-rank from float16 on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import faiss
import numpy as np

from sightline_bench.retrieval.contenders.base import BUILD_CHUNK, Queries, Rows, mapped, padded, sampled
from sightline_bench.retrieval.contenders.buckets import allowed
from sightline_bench.retrieval.contenders.rerank import Reranker

CANDIDATES = 100
POINTS_PER_LIST = 39
FILE = "index.faiss"


class BareFaiss:
    """One coder of faiss behind the same coarse quantizer; `coder` as in a factory string."""

    efforts = (4, 8, 16, 32, 64)
    reads_vectors = True

    def __init__(self, coder: str) -> None:
        self._coder = coder
        self._selector: Any = None
        self._kept: Any = None
        self.version = str(faiss.__version__)
        self.settings = {
            "effort": "nprobe",
            "factory": f"IVF(4096 at 1M)_HNSW32,{coder}",
            "lists": "4096 from 500k vectors, else the power of 2 nearest to 4 sqrt(n)",
            "coarse efSearch": 128,
            "k-means": "10 iterations, 39 points a list",
            "candidates re-ranked": CANDIDATES,
        }

    def build(self, vectors_file: Path, folder: Path, threads: int) -> None:
        faiss.omp_set_num_threads(threads)
        vectors = mapped(vectors_file)
        lists = list_count(len(vectors))
        dim = vectors.shape[1]
        rotation = "RR," if self._coder == "RaBitQ" else ""
        index = faiss.index_factory(dim, f"{rotation}IVF{lists}_HNSW32,{self._coder}")
        ivf = faiss.extract_index_ivf(index)
        ivf.cp.niter, ivf.cp.max_points_per_centroid = 10, POINTS_PER_LIST + 1
        index.train(sampled(vectors, lists * (POINTS_PER_LIST + 1)))
        faiss.downcast_index(ivf.quantizer).hnsw.efSearch = 64
        for start in range(0, len(vectors), BUILD_CHUNK):
            index.add(vectors[start : start + BUILD_CHUNK].astype(np.float32))
        faiss.write_index(index, str(folder / FILE))

    def open(self, vectors_file: Path, folder: Path) -> None:
        # Without the precomputed table of PQ: it takes three times the memory of the codes and is no faster.
        self._index = faiss.read_index(str(folder / FILE), faiss.IO_FLAG_SKIP_PRECOMPUTE_TABLE)
        self._ivf = faiss.extract_index_ivf(self._index)
        faiss.downcast_index(self._ivf.quantizer).hnsw.efSearch = 128
        self._reranker = Reranker(vectors_file)

    def candidates(self, queries: Queries, effort: int) -> Rows:
        """Return what the bare faiss call finds, `(q, CANDIDATES)`."""
        parameters: Any = faiss.SearchParametersIVF(nprobe=min(effort, self._ivf.nlist), sel=self._selector)
        if self._coder == "RaBitQ":
            parameters = faiss.IVFRaBitQSearchParameters(nprobe=min(effort, self._ivf.nlist), qb=8, sel=self._selector)
        if self._index is not self._ivf and isinstance(self._index, faiss.IndexPreTransform):
            parameters = faiss.SearchParametersPreTransform(index_params=parameters)
        rows: Rows = self._index.search(queries, CANDIDATES, params=parameters)[1]
        return rows

    def search(self, queries: Queries, k: int, effort: int, threads: int = 1) -> Rows:
        faiss.omp_set_num_threads(threads)
        found = self.candidates(queries, effort)
        return padded([self._reranker.best(q, rows, k) for q, rows in zip(queries, found, strict=True)], k)

    def restrict(self, passing: int | None) -> None:
        self._selector = None
        if passing is not None:
            # Kept on self: the selector holds only a raw pointer to the bits.
            self._kept = np.packbits(allowed(self._index.ntotal, passing), bitorder="little")
            self._selector = faiss.IDSelectorBitmap(self._kept)


def list_count(n: int) -> int:
    """Return the number of lists for `n` vectors."""
    if n >= 500_000:
        return int(4096 * 2 ** round(np.log2(n / 1_000_000) / 2)) if n > 2_000_000 else 4096
    return max(1, min(int(2 ** round(np.log2(4 * np.sqrt(n)))), n // POINTS_PER_LIST))


def create(argument: str) -> BareFaiss:
    return BareFaiss(argument)
