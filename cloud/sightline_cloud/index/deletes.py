"""Which rows of a tier may answer: one bit a row.

Tombstones need no file of their own. A snapshot names the position in the catalogue's change log at which it was taken;
removals after it are read from the log again at every start, and those before it are not in the snapshot.
"""

from __future__ import annotations

import faiss
import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

Bits = NDArray[np.uint8]


class Deletes:
    """Tombstones, and items that are not available just now. Changed by one thread, read by many."""

    def __init__(self, count: int = 0) -> None:
        self.removed = BitMap()
        self._unavailable = BitMap()
        self._count = 0
        self._bits: Bits = np.zeros(0, np.uint8)
        self.grow(count)

    def grow(self, count: int) -> None:
        """Make room for rows up to `count`; the new ones may answer."""
        self._count = count
        # A selector hides rows past its end.
        if count > 8 * len(self._bits):
            bits = np.full(max(64, count // 4), 255, np.uint8)
            bits[: len(self._bits)] = self._bits
            self._bits = bits

    @property
    def hidden(self) -> BitMap:
        """The rows that must not answer."""
        return self.removed | self._unavailable

    def remove(self, rows: BitMap) -> None:
        """Hide rows for ever: a row is never used again."""
        self.removed |= rows
        self._write(rows, show=False)

    def set_available(self, rows: BitMap, *, available: bool) -> None:
        """Hide rows until they are available again, or show those that are not removed."""
        self._unavailable = self._unavailable - rows if available else self._unavailable | rows
        self._write(rows - self.removed if available else rows, show=available)

    def selector(self) -> faiss.IDSelectorBitmap | None:
        """Return what faiss needs to pass over hidden rows; None while there are none. Later changes show in it."""
        return faiss.IDSelectorBitmap(self._bits) if self.hidden else None

    def _write(self, rows: BitMap, *, show: bool) -> None:
        numbers = row_numbers(rows)
        masks = (1 << (numbers & 7)).astype(np.uint8)
        if show:
            np.bitwise_or.at(self._bits, numbers >> 3, masks)
        else:
            np.bitwise_and.at(self._bits, numbers >> 3, ~masks)


def row_numbers(rows: BitMap) -> NDArray[np.int64]:
    """Return the rows of a bitmap, ascending."""
    return np.frombuffer(rows.to_array(), np.uint32).astype(np.int64)


def selector_of(rows: NDArray[np.int64], count: int) -> faiss.IDSelectorBitmap:
    """Return a selector of `rows` among `count`."""
    flags = np.zeros(count, bool)
    flags[rows] = True
    return faiss.IDSelectorBitmap(np.packbits(flags, bitorder="little"))
