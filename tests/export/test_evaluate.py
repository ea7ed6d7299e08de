"""The figures against the slow, obvious way."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sightline_export.evaluate import (
    auroc,
    average_precision_at,
    fpr_at_tpr,
    hits_at,
    mean_figure,
    overlap,
    percentiles,
    retrieval,
    statistic_figure,
    two_sample_figure,
)

RNG = np.random.default_rng(0)


def unit(rows: int, dim: int, seed: int) -> np.ndarray:
    x = np.random.default_rng(seed).standard_normal((rows, dim)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_figures_equal_the_slow_formula() -> None:
    queries, gallery = unit(30, 6, 0), unit(50, 6, 1)
    rng = np.random.default_rng(2)
    wanted = [str(label) for label in rng.integers(0, 6, 30)]
    given = [str(label) for label in rng.integers(0, 5, 50)]
    found = retrieval(queries, wanted, gallery, given, "test")
    first, ten, average = [], [], []
    for query, label in zip(queries, wanted, strict=True):
        relevant = given.count(label)
        if not relevant:
            continue
        ranked = [given[row] for row in sorted(range(50), key=lambda row, q=query: -float(q @ gallery[row]))[:10]]
        hits = [name == label for name in ranked]
        first.append(hits[0])
        ten.append(any(hits))
        average.append(sum(sum(hits[: i + 1]) / (i + 1) for i in range(10) if hits[i]) / min(10, relevant))
    assert found["R@1"].n == len(first) < 30
    assert np.isclose(found["R@1"].value, np.mean(first))
    assert np.isclose(found["R@10"].value, np.mean(ten))
    assert np.isclose(found["mAP@10"].value, np.mean(average))
    low, high = found["R@1"].interval or (1, 0)
    assert low <= found["R@1"].value <= high


def test_leave_one_out_never_returns_the_query_itself() -> None:
    vectors = np.eye(4, dtype=np.float32)
    found = retrieval(vectors, ["a", "a", "b", "c"], vectors, ["a", "a", "b", "c"], "test", leave_self_out=True)
    assert found["R@1"].n == 2


def test_auroc_counts_ties_half() -> None:
    assert auroc(np.array([1.0, 2.0], np.float32), np.array([0.0], np.float32)) == 1.0
    assert auroc(np.array([1.0], np.float32), np.array([1.0], np.float32)) == 0.5
    inside, outside = unit(40, 3, 3).ravel(), unit(30, 3, 4).ravel()
    slow = np.mean([(a > b) + (a == b) / 2 for a in inside for b in outside])
    assert np.isclose(auroc(inside, outside), slow)


def test_overlap_is_the_share_that_is_found_again() -> None:
    assert overlap(np.array([[1, 2]]), np.array([[2, 3]]), "test").value == 0.5


def test_average_precision_is_the_textbooks() -> None:
    relevant = RNG.random((40, 20)) < 0.3
    totals = relevant.sum(axis=1) + RNG.integers(0, 5, 40)
    for row, total, got in zip(relevant, totals, average_precision_at(relevant, totals, 10), strict=True):
        precisions = [row[: i + 1].sum() / (i + 1) for i in range(10) if row[i]]
        assert got == pytest.approx(sum(precisions) / max(1, min(10, total)))


def test_hits_look_at_the_first_k_only() -> None:
    relevant = np.array([[False, True, False], [False, False, True]])
    assert hits_at(relevant, 1).tolist() == [0, 0] and hits_at(relevant, 2).tolist() == [1, 0]


def test_fpr_at_95_keeps_95_per_cent_of_the_inside() -> None:
    inside, outside = RNG.normal(2, 1, 4000), RNG.normal(0, 1, 4000)
    threshold = np.sort(inside)[200]
    assert fpr_at_tpr(inside, outside) == pytest.approx((outside >= threshold).mean(), abs=0.01)


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    held = 0
    for seed in range(100):
        samples = (np.random.default_rng(seed).random(300) < 0.7).astype(float)
        low, high = mean_figure(samples, seed=seed).interval
        held += low <= 0.7 <= high
    assert 88 <= held <= 100


def test_a_percentile_needs_enough_samples() -> None:
    assert set(percentiles(np.arange(30.0))) == {"p50"}
    assert set(percentiles(np.arange(200.0))) == {"p50", "p95"}
    assert set(percentiles(np.arange(1000.0))) == {"p50", "p95", "p99"}


def test_a_ratio_is_resampled_row_by_row() -> None:
    rows = np.stack([np.repeat([1.0, 0.0], 50), np.repeat([1.0, 0.0], 50)], axis=1)
    ratio = statistic_figure(rows, lambda drawn: float(drawn[:, 0].mean() / drawn[:, 1].mean()))
    assert ratio.value == 1.0 and ratio.interval == (1.0, 1.0)


def test_a_figure_of_two_samples_counts_both_and_holds_its_value() -> None:
    found = two_sample_figure(RNG.normal(2, 1, 40), RNG.normal(0, 1, 30), auroc, "test")
    assert found.n == 70 and found.interval is not None
    assert found.interval[0] <= found.value <= found.interval[1]


def test_a_figure_of_nothing_is_not_a_number() -> None:
    assert math.isnan(mean_figure(np.empty(0)).value) and mean_figure(np.empty(0)).n == 0


def test_a_figure_reads_well() -> None:
    assert str(mean_figure(np.ones(4))) == "1.000 [1.000, 1.000]"
    assert mean_figure(np.ones(4), "four").to_dict() == {"value": 1.0, "interval": [1.0, 1.0], "n": 4, "data": "four"}
