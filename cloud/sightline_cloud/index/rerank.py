"""True cosines of the best candidates, from the float16 vectors on the SSD."""

from __future__ import annotations

import mmap
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sightline_cloud.index.ahead import Ahead, waits
from sightline_cloud.index.base import Ids, Vectors

# A float16's bits, moved to a float32's places, are the number times 2^-112: the queries are scaled up for it. numpy's
# own conversion takes as long as all the rest of the re-rank.
HALF_SCALE = np.float32(2.0**112)
HALF_MASK = np.int32(-0x70002000)  # sign, exponent and fraction in place, nothing else


class Reranker:
    """A file of vectors `(n, d) float16`, row by row, mapped and never read ahead: rows are asked for all at once."""

    def __init__(self, path: Path, dim: int) -> None:
        self._dim, self._row_bytes = dim, 2 * dim
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        if hasattr(mmap, "MADV_RANDOM"):
            self._map.madvise(mmap.MADV_RANDOM)
        self._vectors = np.frombuffer(self._map, np.int16).reshape(-1, dim)
        self._address = self._vectors.ctypes.data
        self.ahead = Ahead()

    def cosines(self, query: Vectors, rows: Ids) -> Vectors:
        """Return the cosines `(n,)` of `rows` `(n,)`, all at least 0, with `query` `(d,)`."""
        if self.ahead.asking:
            self.ahead.look(self._address + rows * self._row_bytes, self._row_bytes)
        before = waits()
        bits = self._vectors.take(rows, axis=0).astype(np.int32)
        if waits() > before:
            self.ahead.asking = True
        bits <<= 13
        bits &= HALF_MASK
        cosines: Vectors = bits.view(np.float32) @ (query * HALF_SCALE)
        return cosines


def read_vectors(path: Path, dim: int, start: int, count: int) -> NDArray[np.float16]:
    """Return rows `start` to `start + count` of such a file, read in order."""
    return np.fromfile(path, np.float16, count * dim, offset=2 * dim * start).reshape(-1, dim)
