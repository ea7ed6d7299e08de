"""Intervals, percentiles and the samples that they need."""

import tracemalloc

import numpy as np
import pytest

from sightline_bench.stats import (
    block_interval,
    block_length,
    enough_for,
    order_statistics,
    ratio_intervals,
    ratios,
    resamples,
)


def drifting(n: int, alike: float, seed: int = 0) -> np.ndarray:
    """Return an autoregressive series: each value is so much of the one before, and the rest is new."""
    fresh, values = np.random.default_rng(seed).normal(size=n), np.zeros(n)
    for number in range(1, n):
        values[number] = alike * values[number - 1] + fresh[number]
    return values


def test_neighbours_that_are_alike_make_the_interval_wider() -> None:
    drift = drifting(1000, 0.9)
    shuffled = np.random.default_rng(0).permutation(drift)

    def width(values) -> float:
        low, high = block_interval(values, lambda drawn: float(drawn.mean()))
        return high - low

    assert width(drift) > 2 * width(shuffled)


@pytest.mark.parametrize(("level", "least"), [(90.0, 100), (95.0, 200), (99.0, 1000), (99.9, 10_000), (99.99, 100_000)])
def test_a_percentile_needs_ten_measurements_beyond_it_and_no_more(level: float, least: int) -> None:
    assert enough_for(level, least) and not enough_for(level, least - 1)
    assert enough_for(50, 1)


def test_an_order_statistic_is_the_lowest_sample_with_that_share_at_or_below_it() -> None:
    samples = np.random.default_rng(0).permutation(np.array([*range(1, 19), np.inf, np.inf]))
    assert order_statistics(samples, (5, 50, 90, 95)).tolist() == [1, 10, 18, np.inf]


def test_ratios_of_zeros_and_of_what_never_came() -> None:
    values, others = np.array([3.0, 0, 2, np.inf, 5, np.inf]), np.array([2.0, 0, 0, 4, np.inf, np.inf])
    assert ratios(values, others).tolist() == [1.5, 1, np.inf, np.inf, 0, 1]


def test_the_interval_of_a_ratio_holds_it_about_as_often_as_it_says() -> None:
    rng, covered = np.random.default_rng(1), 0
    for _ in range(40):
        (low, high), *_ = ratio_intervals(3 * rng.lognormal(0, 0.3, 200), rng.lognormal(0, 0.3, 200), [50.0])
        covered += low <= 3 <= high
    assert 34 <= covered <= 40


def test_blocks_are_as_long_as_neighbours_stay_alike() -> None:
    lengths = {alike: [block_length(drifting(1000, alike, seed)) for seed in range(20)] for alike in (0.0, 0.8, 0.95)}
    assert np.median(lengths[0.0]) == 10, "the cube root of 1,000 at least"
    # By hand for an autoregression: (1.5 n (2 a / (1 - a^2))^2)^(1/3), 31 and 83.
    assert 20 < np.median(lengths[0.8]) < 42 and 50 < np.median(lengths[0.95]) <= 95


def test_blocks_depend_on_the_order_of_the_values_alone() -> None:
    drift = drifting(1000, 0.9)
    stretched = np.where(drift > np.quantile(drift, 0.9), np.inf, np.exp(drift))
    assert block_length(np.exp(drift)) == block_length(drift) > 20 and block_length(stretched) > 20
    assert [block_length(np.full(n, 3.0)) for n in (1, 2, 1000)] == [1, 1, 10]


def test_a_resample_is_made_of_neighbours_or_of_whole_groups() -> None:
    values = np.arange(64.0)
    (blocks,) = resamples(values)
    assert blocks.shape == (1000, 64) and ((np.diff(blocks[:, :4]) - 1) % 64 == 0).all()
    (groups,) = resamples(values, groups=4)
    assert {tuple(row[:16]) for row in groups} == {tuple(values[begin : begin + 16]) for begin in (0, 16, 32, 48)}
    (uneven,) = resamples(np.arange(10.0), groups=4)
    assert {tuple(row[:3]) for row in uneven} == {(0, 1, 2), (3, 4, 5), (6, 7, 6), (8, 9, 8)}


def test_the_bootstrap_of_many_values_takes_little_memory() -> None:
    values = drifting(20_000, 0.5)
    tracemalloc.start()
    drawn = sum(len(samples) for samples in resamples(values))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert drawn == 1000 and peak < 100e6, "all resamples at once are 160 MB, and as much for their rows"
