"""The linear classifiers against the slow formula, or against what the data was drawn from."""

from __future__ import annotations

import numpy as np
import pytest

from sightline_export.fisher import SPREAD, fit_fisher, moments
from sightline_export.linear import WIDEST, fit_softmax, fit_temperature


def test_the_softmax_reaches_the_minimum_of_its_loss() -> None:
    rng = np.random.default_rng(11)
    labels = np.repeat(np.arange(4), 25)
    vectors = (rng.standard_normal((4, 6))[labels] + 0.5 * rng.standard_normal((100, 6))).astype(np.float32)
    matrix, bias = fit_softmax(vectors, labels, 4, decay=0.01)

    def loss(m: np.ndarray, b: np.ndarray) -> float:
        total = 0.0
        for x, y in zip(vectors, labels, strict=True):
            logits = m.astype(float) @ x + b
            total += np.log(np.exp(logits).sum()) - logits[y]
        return float(total / len(labels) + 0.005 * (m.astype(float) ** 2).sum())

    least = loss(matrix, bias)
    for _ in range(20):
        assert loss(matrix + 0.05 * rng.standard_normal(matrix.shape), bias) > least
        assert loss(matrix, bias + 0.05 * rng.standard_normal(4)) > least - 1e-7


@pytest.mark.parametrize("factor", [0.25, 4.0])
def test_the_temperature_undoes_a_factor_on_the_logits(factor: float) -> None:
    rng = np.random.default_rng(1)
    logits = 2 * rng.standard_normal((4000, 5))
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = np.array([rng.choice(5, p=share) for share in shares])
    found = fit_temperature((factor * logits).astype(np.float32), labels, np.ones(4000))
    assert found == pytest.approx(factor, rel=0.1)


def test_photographs_that_are_all_right_do_not_make_the_temperature_vanish() -> None:
    found = fit_temperature(np.eye(3, dtype=np.float32), np.arange(3), np.ones(3))
    assert found == pytest.approx(1 / WIDEST, rel=1e-6)


def test_weights_of_the_temperature_count_rows_that_often() -> None:
    rng = np.random.default_rng(2)
    logits, labels = rng.standard_normal((30, 3)).astype(np.float32), rng.integers(0, 3, 30)
    twice = np.concatenate([np.arange(30), np.arange(10)])
    weighed = fit_temperature(logits, labels, np.where(np.arange(30) < 10, 2.0, 1.0))
    assert weighed == pytest.approx(fit_temperature(logits[twice], labels[twice], np.ones(40)))


def test_every_group_weighs_the_same_in_the_moments() -> None:
    rng = np.random.default_rng(3)
    many, few = rng.standard_normal((90, 4)), 3 + rng.standard_normal((10, 4))
    found = moments(np.concatenate([many, few]).astype(np.float32), np.array(["a"] * 90 + ["b"] * 10))
    again = np.concatenate([many, *[few] * 9])
    assert found.mean == pytest.approx(again.mean(axis=0), abs=1e-6)
    assert found.covariance == pytest.approx(np.cov(again.T, bias=True), abs=1e-5)


def test_fishers_discriminant_is_the_solution_of_its_equation() -> None:
    rng = np.random.default_rng(4)
    spread = np.diag([3.0, 1.0, 0.1])
    groups = np.array(["all"] * 500)
    inside = moments((rng.standard_normal((500, 3)) @ spread + [1, 1, 1]).astype(np.float32), groups)
    outside = moments((rng.standard_normal((500, 3)) @ spread).astype(np.float32), groups)
    weight, bias = fit_fisher(inside, outside, 0.5, 1e-9)
    pooled = (inside.covariance + outside.covariance) / 2
    wanted = np.linalg.inv(pooled) @ (inside.mean - outside.mean)
    assert weight / np.linalg.norm(weight) == pytest.approx(wanted / np.linalg.norm(wanted), abs=1e-4)
    assert weight @ inside.mean + bias == pytest.approx(SPREAD, abs=1e-3)
    assert weight @ outside.mean + bias == pytest.approx(-SPREAD, abs=1e-3)
    alone, _ = fit_fisher(inside, outside, 0.5, 1.0)  # shrunk to nothing: the direction between the means
    apart = inside.mean - outside.mean
    assert alone / np.linalg.norm(alone) == pytest.approx(apart / np.linalg.norm(apart), abs=1e-5)
