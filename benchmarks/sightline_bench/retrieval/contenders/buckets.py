"""What filters look at: a number in 0..9999 for every row, so that "bucket < b" lets b of 10,000 rows pass."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BUCKETS = 10_000
# What is filtered away: 1 %, 50 %, 99 % and 99.99 %.
PASSING = (9_900, 5_000, 100, 1)


def buckets(rows: NDArray[np.int64]) -> NDArray[np.int32]:
    """Return the buckets of `rows` `(n,)`, as good as random, the same everywhere."""
    mixed = (rows.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    return ((mixed >> np.uint64(33)) % np.uint64(BUCKETS)).astype(np.int32)


def allowed(count: int, passing: int) -> NDArray[np.bool_]:
    """Return which of `count` rows pass `(count,)`."""
    return buckets(np.arange(count)) < passing
