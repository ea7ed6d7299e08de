"""The figures against the slow, obvious way."""

import numpy as np
import pytest

from sightline_bench.stats import auroc, average_precision_at, figure, fpr_at_tpr, hits_at, percentiles

RNG = np.random.default_rng(0)


def test_average_precision_is_the_textbooks() -> None:
    relevant = RNG.random((40, 20)) < 0.3
    totals = relevant.sum(axis=1) + RNG.integers(0, 5, 40)
    for row, total, got in zip(relevant, totals, average_precision_at(relevant, totals, 10), strict=True):
        precisions = [row[: i + 1].sum() / (i + 1) for i in range(10) if row[i]]
        assert got == pytest.approx(sum(precisions) / max(1, min(10, total)))


def test_hits_look_at_the_first_k_only() -> None:
    relevant = np.array([[False, True, False], [False, False, True]])
    assert hits_at(relevant, 1).tolist() == [0, 0] and hits_at(relevant, 2).tolist() == [1, 0]


def test_auroc_is_the_share_of_pairs_in_order() -> None:
    inside, outside = RNG.integers(0, 9, 50).astype(float), RNG.integers(0, 7, 60).astype(float)
    pairs = [(a > b) + 0.5 * (a == b) for a in inside for b in outside]
    assert auroc(inside, outside) == pytest.approx(np.mean(pairs))


def test_fpr_at_95_keeps_95_per_cent_of_the_inside() -> None:
    inside, outside = RNG.normal(2, 1, 4000), RNG.normal(0, 1, 4000)
    threshold = np.sort(inside)[200]
    assert fpr_at_tpr(inside, outside) == pytest.approx((outside >= threshold).mean(), abs=0.01)


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    held = 0
    for seed in range(100):
        samples = (np.random.default_rng(seed).random(300) < 0.7).astype(float)
        low, high = figure(samples, seed=seed).interval
        held += low <= 0.7 <= high
    assert 88 <= held <= 100


def test_a_percentile_needs_enough_samples() -> None:
    assert set(percentiles(np.arange(30.0))) == {"p50"}
    assert set(percentiles(np.arange(200.0))) == {"p50", "p95"}
    assert set(percentiles(np.arange(1000.0))) == {"p50", "p95", "p99"}
