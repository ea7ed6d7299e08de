"""Figures with intervals: retrieval metrics, out-of-distribution metrics, percentiles, bootstrap."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
RESAMPLES = 1000


@dataclass(frozen=True)
class Figure:
    """A measured value with its sample size and 95 % bootstrap interval."""

    value: float
    n: int
    interval: tuple[float, float]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.interval[0]:.3f}, {self.interval[1]:.3f}]"


def figure(
    samples: Floats, *, statistic: Callable[[Floats], float] = lambda x: float(x.mean()), seed: int = 0
) -> Figure:
    """Return `statistic` of the per-query `samples` `(n,)` with its percentile bootstrap interval (1000 resamples)."""
    if not len(samples):
        return Figure(float("nan"), 0, (float("nan"), float("nan")))
    rng = np.random.default_rng(seed)
    drawn = [statistic(samples[rng.integers(0, len(samples), len(samples))]) for _ in range(RESAMPLES)]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Figure(statistic(samples), len(samples), (float(low), float(high)))


def hits_at(relevant: NDArray[np.bool_], k: int) -> Floats:
    """Return 1.0 for each row of the ranked `relevant` `(n, >=k) bool` with a relevant item among the first k."""
    hits: Floats = np.asarray(relevant[:, :k].any(axis=1), np.float64)
    return hits


def average_precision_at(relevant: NDArray[np.bool_], totals: NDArray[np.int64], k: int) -> Floats:
    """Return AP@k for each row: mean precision at each relevant rank, over min(k, relevant items in the gallery).

    `relevant` is `(n, >=k) bool` by rank, `totals` `(n,)` how many relevant items the gallery holds for each query.
    """
    first = relevant[:, :k].astype(np.float64)
    precision = np.cumsum(first, axis=1) / np.arange(1, first.shape[1] + 1)
    best = np.maximum(1, np.minimum(k, totals)).astype(np.float64)
    total: Floats = np.asarray(np.einsum("ij,ij->i", precision, first))
    return total / best


def auroc(inside: Floats, outside: Floats) -> float:
    """Return the probability that an inside score exceeds an outside one (ties count half): Mann-Whitney U."""
    order = np.sort(outside)
    below = np.searchsorted(order, inside, side="left")
    through = np.searchsorted(order, inside, side="right")
    return float((below + through).sum() / (2 * len(inside) * len(outside)))


def fpr_at_tpr(inside: Floats, outside: Floats, tpr: float = 0.95) -> float:
    """Return the share of outside scores at or above the threshold that keeps `tpr` of the inside scores."""
    return float((outside >= np.quantile(inside, 1 - tpr)).mean())


def two_sample_figure(
    inside: Floats, outside: Floats, statistic: Callable[[Floats, Floats], float], *, seed: int = 0
) -> Figure:
    """Return `statistic(inside, outside)` with a bootstrap interval over both samples; n counts both."""
    rng = np.random.default_rng(seed)

    def resample(x: Floats) -> Floats:
        return x[rng.integers(0, len(x), len(x))]

    drawn = [statistic(resample(inside), resample(outside)) for _ in range(RESAMPLES)]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Figure(statistic(inside, outside), len(inside) + len(outside), (float(low), float(high)))


def percentiles(samples: Floats, levels: tuple[float, ...] = (50, 95, 99)) -> dict[str, float]:
    """Return `{"p50": ...}` for each level that the sample is large enough for: n >= 10 / (1 - p)."""
    return {
        f"p{level:g}": float(np.percentile(samples, level))
        for level in levels
        if len(samples) * (100 - level) >= 10 * 100 or level == 50
    }
