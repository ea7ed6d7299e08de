"""Calibration and confusion against the slow count."""

from __future__ import annotations

import numpy as np
import pytest

from sightline_export.evaluation.reliability import confusion, expected_calibration_error, reliability, semantic_detail


def test_bins_are_equally_full_and_in_order() -> None:
    rng = np.random.default_rng(0)
    scores = rng.random(100)
    right = (rng.random(100) < scores).astype(float)
    bins = reliability(scores, right, 5)
    order = np.argsort(scores)
    for place, found in enumerate(bins):
        rows = order[place * 20 : place * 20 + 20]
        assert found["n"] == 20
        assert found["score"] == pytest.approx(scores[rows].mean(), abs=1e-4)
        assert found["right"] == pytest.approx(right[rows].mean(), abs=1e-4)


def test_ece_is_the_slow_sum() -> None:
    rng = np.random.default_rng(1)
    confidences, right = rng.random(300), (rng.random(300) < 0.5).astype(float)
    slow = 0.0
    for place in range(10):
        rows = [i for i in range(300) if place / 10 <= confidences[i] < (place + 1) / 10]
        slow += len(rows) / 300 * abs(np.mean(right[rows]) - np.mean(confidences[rows])) if rows else 0
    assert expected_calibration_error(confidences, right, "test").value == pytest.approx(slow)


def test_a_sure_and_right_head_has_no_error() -> None:
    assert expected_calibration_error(np.ones(20), np.ones(20), "test").value == 0
    assert expected_calibration_error(np.ones(20), np.zeros(20), "test").value == 1


def test_confusion_counts_pairs() -> None:
    assert confusion(["a", "a", "b", "c"], ["a", "b", "b", "a"], ["a", "b"]) == [[1, 1], [0, 1]]


def test_the_detail_of_a_head_leaves_unknown_truth_out() -> None:
    probabilities = np.array([[0.9, 0.1], [0.3, 0.7], [0.8, 0.2]], np.float32)
    detail = semantic_detail(probabilities, ["x", "x", "else"], ["x", "y"])
    assert detail["confusion"] == [[1, 1], [0, 0]]
    assert sum(one["n"] for one in detail["reliability"]) == 2
