"""Exact bounds of a share from counts (Clopper and Pearson, Biometrika 1934)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sightline_export.evaluate import Figure

CONFIDENCE = 0.95


def upper_bound(hits: int, n: int, confidence: float = CONFIDENCE) -> float:
    """Return the one-sided upper bound of a share of which `hits` of `n` were seen; 1.0 of nothing seen.

    The largest p for which `hits` or fewer of `n` have a chance of at least 1 - confidence.
    """
    if hits >= n:
        return 1.0
    low, high = hits / n, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _at_most(hits, n, middle) > 1 - confidence else (low, middle)
    return high


def lower_bound(hits: int, n: int, confidence: float = CONFIDENCE) -> float:
    """Return the one-sided lower bound of a share of which `hits` of `n` were seen."""
    return 1 - upper_bound(n - hits, n, confidence)


def share_figure(happened: NDArray[np.bool_], data: str) -> Figure:
    """Return the share of True with its two-sided exact 95 % interval; it does not shrink to nothing at 0 or 1."""
    hits, n = int(happened.sum()), len(happened)
    if not n:
        return Figure(float("nan"), (float("nan"), float("nan")), 0, data)
    return Figure(hits / n, (lower_bound(hits, n, 0.975), upper_bound(hits, n, 0.975)), n, data)


def _at_most(hits: int, n: int, share: float) -> float:
    """Return the chance of `hits` or fewer out of `n`, summed in logarithms."""
    if share >= 1.0:
        return 0.0
    if share <= 0.0:
        return 1.0
    logs = [
        math.lgamma(n + 1)
        - math.lgamma(k + 1)
        - math.lgamma(n - k + 1)
        + k * math.log(share)
        + (n - k) * math.log1p(-share)
        for k in range(hits + 1)
    ]
    top = max(logs)
    return math.exp(top) * sum(math.exp(value - top) for value in logs)
