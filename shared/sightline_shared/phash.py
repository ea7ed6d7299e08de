"""A perceptual hash: near-repeated frames differ in few of its bits."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

ROWS, COLUMNS = 8, 9
BITS = ROWS * (COLUMNS - 1)


def dhash(light: NDArray[np.float32]) -> int:
    """Return the 64-bit difference hash of a luma plane `(h, w) float32`: is each cell brighter than its left neighbour?

    Cells are averages over a grid of 8 x 9. Source: N. Krawetz, "Kind of Like That" (2013).
    """
    height, width = light.shape
    rows, columns = (
        [part * side // parts for part in range(parts + 1)] for side, parts in ((height, ROWS), (width, COLUMNS))
    )
    # Whole bands of rows are added up several times faster than by `reduceat`.
    bands = [np.add.reduce(light[top:bottom]) for top, bottom in pairwise(rows)]
    cells = np.add.reduceat(np.array(bands), columns[:-1], axis=1)
    means = cells / np.array([right - left for left, right in pairwise(columns)])
    return int.from_bytes(np.packbits(means[:, 1:] > means[:, :-1]).tobytes(), "big")


def hamming(one: int, other: int) -> int:
    """Return in how many bits two hashes differ, 0 to 64."""
    return (one ^ other).bit_count()
