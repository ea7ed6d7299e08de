"""Intervals for what was measured one after another: neighbours in time are alike, and a plain bootstrap would not know."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

RESAMPLES = 1000
# Numbers that are held at a time, 16 MB.
CHUNK = 2_000_000


def enough_for(level: float, n: int) -> bool:
    """Return whether a percentile may be printed of `n` measurements: n >= 10 / (1 - p), and the median always."""
    # In whole thousandths of a per cent: 100 - 99.9 is less than 0.1.
    return level == 50 or n * round(1000 * (100 - level)) >= 10 * 100 * 1000


def order_statistics(samples: Floats, levels: Sequence[float]) -> Floats:
    """Return percentiles along the first axis, `(levels, ...)`: each is one of the samples, the lowest with that share at or below it.

    So infinities, for what never came, are samples like others.
    """
    ranks = [max(0, -(-len(samples) * round(1000 * level) // 100_000) - 1) for level in levels]
    found: Floats = np.partition(samples, ranks, axis=0)[ranks]
    return found


def block_length(values: Floats) -> int:
    """Return how many neighbours of `values` `(n,)` are drawn together, the more the longer they stay alike; n^(1/3) at least.

    Politis and White, "Automatic block-length selection for the dependent bootstrap", Econometric Reviews 23 (2004), 1, as
    corrected by Patton, Politis and White, 28 (2009), 4, for circular blocks; of the values' ranks, for some are infinite.
    """
    n = len(values)
    least = max(1, round(math.cbrt(n)))
    longest = max(least, math.ceil(min(3 * math.sqrt(n), n / 3)))
    unlike = max(5, round(math.sqrt(math.log10(n))))
    most = min(n - 1, math.ceil(math.sqrt(n)) + 2 * unlike)
    alike = _autocovariances(values, most)
    if not alike[0]:
        return least
    quiet = np.abs(alike[1:]) < 2 * alike[0] * math.sqrt(math.log10(n) / n)
    # The last lag before so many that mean nothing.
    last = next((lag for lag in range(most) if quiet[lag : lag + unlike].all()), most)
    if not last:
        return least
    lags = np.arange(1, min(2 * last, most) + 1)
    weights = np.minimum(1, 2 * (1 - lags / len(lags))) * alike[lags]
    spread, bias = alike[0] + 2 * float(weights.sum()), 2 * float((weights * lags).sum())
    if not spread:
        return longest
    return min(longest, max(least, round(math.cbrt(1.5 * n * (bias / spread) ** 2))))


def _autocovariances(values: Floats, most: int) -> Floats:
    """Return those of the values' ranks, by lag, 0 to `most`; equal values have their mean rank."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    away = ranks - ranks.mean()
    return np.array([away[lag:] @ away[: len(away) - lag] for lag in range(most + 1)]) / len(away)


def resamples(values: Floats, seed: int = 0, groups: int = 1) -> Iterator[Floats]:
    """Yield what RESAMPLES samples drawn from `values` `(n,)` hold, a chunk `(m, n)` at a time.

    Whole blocks of neighbours are drawn, the first following upon the last. With more `groups` than one the values are so many
    parts (`np.array_split`), and whole parts are drawn, one that is shorter by one with its first value again.
    """
    n, rng = len(values), np.random.default_rng(seed)
    if groups > 1:
        parts = np.array_split(values, groups)
        blocks = np.stack([np.resize(part, len(parts[0])) for part in parts])
    else:
        length = block_length(values)
        blocks = np.lib.stride_tricks.sliding_window_view(np.concatenate([values, values[: length - 1]]), length)
    chunk = max(1, CHUNK // n)
    for begin in range(0, RESAMPLES, chunk):
        size = min(chunk, RESAMPLES - begin)
        drawn = blocks[rng.integers(0, len(blocks), (size, -(-n // blocks.shape[1])))]
        yield drawn.reshape(size, -1)[:, :n]


def block_interval(values: Floats, statistic: Callable[[Floats], float], seed: int = 0) -> tuple[float, float]:
    """Return the 95 % interval of `statistic` of `values` `(n,)`, n at least 1, by a circular block bootstrap."""
    drawn = [statistic(sample) for samples in resamples(values, seed) for sample in samples]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(low), float(high)


def percentile_draws(values: Floats, levels: Sequence[float], seed: int = 0, groups: int = 1) -> Floats:
    """Return the order statistics of each resample, `(levels, RESAMPLES)`."""
    return np.concatenate(
        [order_statistics(samples.T, levels) for samples in resamples(values, seed, groups)],
        axis=1,
    )


def ratios(values: Floats, others: Floats) -> Floats:
    """Return `values` over `others`, none negative: infinite over what is zero, 1 for two zeros or two infinities."""
    alike = values == others
    with np.errstate(divide="ignore", over="ignore"):
        return np.where(alike, 1.0, values / np.where(alike, 1.0, others))


def ratio_intervals(
    values: Floats, others: Floats, levels: Sequence[float], seed: int = 0
) -> list[tuple[float, float]]:
    """Return for each level the 95 % interval of the ratio of that percentile of two series, measured apart, `(n,)` and `(m,)`."""
    above, below = (percentile_draws(each, levels, seed + number) for number, each in enumerate((values, others)))
    low, high = order_statistics(ratios(above, below).T, (2.5, 97.5)).tolist()
    return list(zip(low, high, strict=True))
