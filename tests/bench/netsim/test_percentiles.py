"""Percentiles and shares of latencies some of which are infinite."""

import numpy as np
import pytest

from sightline_bench.netsim.percentiles import percentile_estimates, share_estimate


def test_only_percentiles_that_the_sample_allows_are_given() -> None:
    assert list(percentile_estimates(np.arange(200.0))) == ["p50", "p90", "p95"]
    assert list(percentile_estimates(np.arange(1000.0))) == ["p50", "p90", "p95", "p99"]
    assert list(percentile_estimates(np.arange(5.0))) == ["p50"]


def test_a_percentile_is_a_sample_and_infinities_are_samples() -> None:
    samples = np.random.default_rng(1).permutation(np.array([*range(1, 186), *[np.inf] * 15], float))
    found = percentile_estimates(samples)
    assert [found[name]["value"] for name in ("p50", "p90", "p95")] == [100, 180, None]
    assert found["p50"]["interval"][1] < 130 and found["p95"]["interval"] is None and found["p95"]["n"] == 200


def test_an_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng, covered = np.random.default_rng(1), 0
    for run in range(60):
        low, high = percentile_estimates(rng.exponential(size=200), seed=run)["p90"]["interval"]
        covered += low <= -np.log(0.1) <= high
    assert 52 <= covered <= 60


def test_a_share_has_an_interval_even_where_nothing_or_everything_hits() -> None:
    assert share_estimate(np.zeros(300, bool))["interval"] == [0, 0.01]
    assert share_estimate(np.ones(300, bool)) == {"value": 1, "interval": [0.99, 1], "n": 300}
    half = share_estimate(np.random.default_rng(1).random(400) < 0.5)
    assert half["value"] == pytest.approx(0.5, abs=0.06) and 0.07 < half["interval"][1] - half["interval"][0] < 0.13
