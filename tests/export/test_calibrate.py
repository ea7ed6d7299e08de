"""Thresholds: the most cautious source counts, and every error rate is measured."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from sightline_export import calibrate
from sightline_export.gate_scores import source_prototypes
from sightline_export.recipe import Gate
from sightline_shared.errors import TrainingDataTooSmall
from sightline_shared.preprocess import to_tensor


def around(centres: np.ndarray, count: int, spread: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    vectors = centres[rng.integers(0, len(centres), count)] + spread * rng.standard_normal((count, centres.shape[1]))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def test_every_source_keeps_the_stated_share_by_its_own_cut_off() -> None:
    tight, loose = (np.random.default_rng(seed).standard_normal((10, 64)) for seed in (1, 2))
    gallery = {
        "tight": around(tight, 400, 0.1, 3),
        "loose": around(loose, 100, 0.5, 4),
        "alone": around(loose, 20, 0.5, 5),
    }
    held = {"tight": around(tight, 300, 0.1, 6), "loose": around(loose, 300, 0.5, 7)}
    fit = calibrate.fit_gate(gallery, held, Gate(prototypes=64, false_reject=0.05), 1)
    for vectors in held.values():
        assert (fit.scores(vectors) < fit.reject_below).mean() <= 0.06
    assert (fit.scores(held["tight"]) < fit.reject_below).mean() >= 0.01, "its own cut-off, not the loosest"
    assert fit.sure_above > fit.reject_below and fit.ood.offsets.min() == 0 and fit.ood.offsets.max() > 0.1
    assert len(fit.ood.rows) == len(fit.ood.offsets) <= 66
    # A stranger near the tight source is told apart, where one flat cut-off would let it in.
    strangers = around(tight, 300, 0.5, 8)
    flat = (strangers @ fit.ood.rows.T).max(axis=1)
    assert (fit.scores(strangers) < fit.reject_below).mean() > (flat < fit.reject_below).mean() + 0.2
    with pytest.raises(TrainingDataTooSmall, match="held-out"):
        calibrate.fit_gate(gallery, {"tight": held["tight"][:3]}, Gate(), 1)


def test_prototypes_have_unit_length_and_survive_float16() -> None:
    gallery = np.random.default_rng(1).standard_normal((200, 8)).astype(np.float32)
    gallery /= np.linalg.norm(gallery, axis=1, keepdims=True)
    prototypes = source_prototypes(gallery, 16, seed=1)
    assert prototypes.shape == (16, 8) and np.allclose(np.linalg.norm(prototypes, axis=1), 1, atol=2e-3)
    assert np.array_equal(prototypes, prototypes.astype(np.float16).astype(np.float32))


def test_decision_thresholds_are_in_order_and_keep_the_known() -> None:
    rng = np.random.default_rng(2)
    known = {"a": rng.uniform(0.6, 1, 300).astype(np.float32), "b": rng.uniform(0.7, 1, 300).astype(np.float32)}
    outside = rng.uniform(0.2, 0.8, 300).astype(np.float32)
    thresholds, figures = calibrate.decision_thresholds(known, outside)
    assert thresholds["not_found_max_score"] <= thresholds["found_min_score"]
    assert figures["decision.known_missed.a"].value <= 0.02 and figures["decision.known_missed.b"].value == 0
    assert figures["decision.outside_found"].value == pytest.approx(0.05, abs=0.01)
    alone, _ = calibrate.decision_thresholds(known, outside[:0])
    assert alone["found_min_score"] >= alone["not_found_max_score"]


def test_quality_limits_keep_good_pictures_and_stop_blur_and_dark(draw: Callable[..., Image.Image]) -> None:
    pixels = np.stack([to_tensor(draw(view % 4, view), 192) for view in range(40)])
    limits, figures = calibrate.quality_limits({"drawn": pixels}, keep=0.95)
    assert limits.min_brightness < limits.max_brightness
    assert figures["quality.good_turned_away.drawn"].value <= 0.15
    assert figures["quality.blur_let_through.drawn"].value == 0
    assert figures["quality.dark_let_through.drawn"].value == 0
