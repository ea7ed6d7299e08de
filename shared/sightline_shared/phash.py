"""A perceptual hash: near-repeated frames differ in few of its bits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ROWS, COLUMNS = 8, 9
BITS = ROWS * (COLUMNS - 1)


def dhash(tensor: NDArray[np.uint8]) -> int:
    """Return the 64-bit difference hash of an `(s, s, 3) uint8` picture: is each cell brighter than its left neighbour?

    Cells are averages of luma over a grid of 8 x 9. Source: N. Krawetz, "Kind of Like That" (2013).
    """
    luma = tensor.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    height, width = luma.shape
    rows, columns = np.arange(ROWS) * height // ROWS, np.arange(COLUMNS) * width // COLUMNS
    cells = np.add.reduceat(np.add.reduceat(luma, rows, axis=0), columns, axis=1)
    means = cells / np.diff(columns, append=width)
    return int.from_bytes(np.packbits(means[:, 1:] > means[:, :-1]).tobytes(), "big")


def hamming(one: int, other: int) -> int:
    """Return in how many bits two hashes differ, 0 to 64."""
    return (one ^ other).bit_count()
