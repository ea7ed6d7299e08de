"""Estimates of latencies among which some are infinite, for queries that were never answered."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline_bench.stats import RESAMPLES, Floats, block_draws, enough_for

LEVELS = (50.0, 90.0, 95.0, 99.0, 99.9)

Estimate = dict[str, Any]


def percentile_estimates(ms: Floats, seed: int = 0) -> dict[str, Estimate]:
    """Return `{"p50": {"value", "interval", "n"}, ...}` for the levels that `ms` `(n,)`, n at least 1, in order of time, allows.

    A percentile is one of the samples, the lowest with that share at or below it, so infinities do no harm; it is None where
    it is infinite, and so is the interval where one of its ends is. Rounded to microseconds.
    """
    n = len(ms)
    levels = [level for level in LEVELS if enough_for(level, n)]
    drawn = _percentiles(ms[_rows(n, seed)].T, levels).T
    low, high = (_percentiles(drawn, [level])[0] for level in (2.5, 97.5))
    return {
        f"p{level:g}": {"value": _rounded(value), "interval": _interval(bounds), "n": n}
        for level, value, *bounds in zip(
            levels, _percentiles(ms, levels).tolist(), low.tolist(), high.tolist(), strict=True
        )
    }


def share_estimate(hits: NDArray[np.bool_], seed: int = 0) -> Estimate:
    """Return the share of `hits` `(n,)`, n at least 1, in order of time.

    Of none, or of all, no resample knows anything else: the interval is then the rule of three, 3 / n.
    """
    n, share = len(hits), float(hits.mean())
    low, high = np.percentile(hits[_rows(n, seed)].mean(axis=1), [2.5, 97.5]).tolist()
    if share in (0.0, 1.0):
        low, high = (0.0, min(1.0, 3 / n)) if share == 0 else (max(0.0, 1 - 3 / n), 1.0)
    return {"value": round(share, 4), "interval": [round(low, 4), round(high, 4)], "n": n}


def percentile(ms: Floats, level: float) -> float | None:
    """Return one percentile without its interval; None where it is infinite or `ms` has too few for it."""
    return _rounded(float(_percentiles(ms, [level])[0])) if enough_for(level, len(ms)) else None


@lru_cache(maxsize=1)
def _rows(n: int, seed: int) -> NDArray[np.int64]:
    """Return the rows of each resample, `(RESAMPLES, n)`: the same for every series of a run, which has many."""
    rng = np.random.default_rng(seed)
    return np.stack([block_draws(n, rng) for _ in range(RESAMPLES)])


def _percentiles(samples: Floats, levels: list[float]) -> Floats:
    """Return order statistics along the first axis, `(levels, ...)`."""
    ordered = np.sort(samples, axis=0)
    ranks = [max(0, -(-len(ordered) * round(1000 * level) // 100_000) - 1) for level in levels]
    found: Floats = ordered[ranks]
    return found


def _rounded(ms: float) -> float | None:
    return round(ms, 3) if math.isfinite(ms) else None


def _interval(bounds: list[float]) -> list[float] | None:
    return [round(bound, 3) for bound in bounds] if all(map(math.isfinite, bounds)) else None
