"""Intervals, percentiles and the samples that they need."""

import numpy as np
import pytest

from sightline_bench.stats import block_interval, enough_for, order_statistics, ratio_intervals, ratios


def test_neighbours_that_are_alike_make_the_interval_wider() -> None:
    rng, drift = np.random.default_rng(0), np.zeros(1000)
    for number in range(1, len(drift)):
        drift[number] = 0.9 * drift[number - 1] + rng.normal()
    shuffled = rng.permutation(drift)

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
