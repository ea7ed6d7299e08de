"""Exact re-rank of candidates from the float16 vectors on disk, as plainly as numpy allows."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sightline_bench.retrieval.contenders.base import Rows, mapped


class Reranker:
    """Reads rows of a `(n, d) float16` .npy file with pread; the page cache alone holds them."""

    def __init__(self, vectors_file: Path) -> None:
        vectors = mapped(vectors_file)
        self._start, self._row_bytes, self._dim = vectors.offset, vectors.shape[1] * 2, vectors.shape[1]  # type: ignore[attr-defined]  # np.memmap
        self._file = os.open(vectors_file, os.O_RDONLY)
        # Rows are asked for all over the file: reading ahead would only fetch what nobody wants.
        os.posix_fadvise(self._file, 0, 0, os.POSIX_FADV_RANDOM)

    def best(self, query: NDArray[np.float32], candidates: Rows, k: int) -> Rows:
        """Return the `k` rows `(<= k,)` of `candidates` `(c,)` that are nearest to `query` `(d,)`, best first."""
        candidates = candidates[candidates >= 0]
        places = [self._start + row * self._row_bytes for row in candidates.tolist()]
        for place in places:
            os.posix_fadvise(self._file, place, self._row_bytes, os.POSIX_FADV_WILLNEED)
        read = b"".join([os.pread(self._file, self._row_bytes, place) for place in places])
        scores = np.frombuffer(read, np.float16).reshape(-1, self._dim).astype(np.float32) @ query
        order = np.argsort(-scores, kind="stable")[:k]
        best: Rows = candidates[order]
        return best
