"""Intervals for what was measured one after another: neighbours in time are alike, and a plain bootstrap would not know."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

RESAMPLES = 1000


def enough_for(level: float, n: int) -> bool:
    """Return whether a percentile may be printed of `n` measurements: n >= 10 / (1 - p), and the median always."""
    return level == 50 or n * (100 - level) >= 10 * 100


def block_length(n: int) -> int:
    """Return how many neighbours are drawn together: n^(1/3), of the order that is best for `n` measurements.

    Künsch, "The jackknife and the bootstrap for general stationary observations", Annals of Statistics 17 (1989), 3.
    """
    return max(1, int(np.rint(np.cbrt(n))))


def block_draws(n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return `n` row numbers, drawn in whole blocks of neighbours, the first following upon the last."""
    length = block_length(n)
    starts = rng.integers(0, n, -(-n // length))
    rows: NDArray[np.int64] = ((starts[:, None] + np.arange(length)) % n).ravel()[:n]
    return rows


def block_interval(values: Floats, statistic: Callable[[Floats], float], seed: int = 0) -> tuple[float, float]:
    """Return the 95 % interval of `statistic` of `values` `(n,)`, n at least 1, by a circular block bootstrap."""
    rng = np.random.default_rng(seed)
    drawn = [statistic(values[block_draws(len(values), rng)]) for _ in range(RESAMPLES)]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(low), float(high)


def ratio_interval(
    values: Floats, others: Floats, statistic: Callable[[Floats], float], seed: int = 0
) -> tuple[float, float]:
    """Return the 95 % interval of `statistic(values) / statistic(others)`, two series measured apart."""
    rng = np.random.default_rng(seed)
    drawn = [
        statistic(values[block_draws(len(values), rng)]) / statistic(others[block_draws(len(others), rng)])
        for _ in range(RESAMPLES)
    ]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(low), float(high)
