"""Estimates of latencies among which some are infinite, for queries that were never answered."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline_bench.stats import Floats, enough_for, order_statistics, percentile_draws, resamples

LEVELS = (50.0, 90.0, 95.0, 99.0, 99.9)

Estimate = dict[str, Any]


def percentile_estimates(ms: Floats, *, groups: int = 1, of: int | None = None, seed: int = 0) -> dict[str, Estimate]:
    """Return `{"p50": {"value", "interval", "n"}, ...}` for the levels that `ms` `(n,)`, n at least 1, in order of time, allows.

    A percentile is one of the samples, the lowest with that share at or below it, so infinities do no harm; it is None where
    it is infinite, and so is the interval where one of its ends is. Rounded to microseconds.

    `groups`: `ms` come in so many groups of neighbours (`np.array_split`), each in a network of its own, and whole groups are
    drawn. `of`: how many different values stand behind them, where they were drawn from fewer than n.
    """
    n = len(ms)
    levels = [level for level in LEVELS if enough_for(level, min(n, of or n))]
    drawn = percentile_draws(ms, levels, seed, groups).T
    low, high = (order_statistics(drawn, [level])[0] for level in (2.5, 97.5))
    return {
        f"p{level:g}": {"value": _rounded(value), "interval": _interval(bounds), "n": n}
        for level, value, *bounds in zip(
            levels, order_statistics(ms, levels).tolist(), low.tolist(), high.tolist(), strict=True
        )
    }


def share_estimate(hits: NDArray[np.bool_], *, groups: int = 1, seed: int = 0) -> Estimate:
    """Return the share of `hits` `(n,)`, n at least 1, in order of time.

    Of none, or of all, no resample knows anything else: the interval is then the rule of three, 3 / n.
    """
    n, share = len(hits), float(hits.mean())
    drawn = [samples.mean(axis=1) for samples in resamples(hits.astype(np.float64), seed, groups)]
    low, high = np.percentile(np.concatenate(drawn), [2.5, 97.5]).tolist()
    if share in (0.0, 1.0):
        low, high = (0.0, min(1.0, 3 / n)) if share == 0 else (max(0.0, 1 - 3 / n), 1.0)
    return {"value": round(share, 4), "interval": [round(low, 4), round(high, 4)], "n": n}


def percentile(ms: Floats, level: float) -> float | None:
    """Return one percentile without its interval; None where it is infinite or `ms` has too few for it."""
    return _rounded(float(order_statistics(ms, [level])[0])) if enough_for(level, len(ms)) else None


def _rounded(ms: float) -> float | None:
    return round(ms, 3) if math.isfinite(ms) else None


def _interval(bounds: list[float]) -> list[float] | None:
    return [round(bound, 3) for bound in bounds] if all(map(math.isfinite, bounds)) else None
