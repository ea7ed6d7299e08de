"""Retrieval figures against a slow loop."""

from __future__ import annotations

import numpy as np

from sightline_export.evaluate import auroc, overlap, retrieval


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
