"""Thresholds: the most cautious source counts, and every error rate is measured."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from sightline_export import calibrate
from sightline_shared.errors import TrainingDataTooSmall
from sightline_shared.preprocess import to_tensor


def test_the_gate_keeps_the_stated_share_of_the_worst_source() -> None:
    rng = np.random.default_rng(0)
    scores = {"easy": rng.uniform(0.8, 1, 400).astype(np.float32), "hard": rng.uniform(0.5, 1, 400).astype(np.float32)}
    reject, sure = calibrate.gate_thresholds(scores, 0.05)
    assert (scores["hard"] < reject).mean() == pytest.approx(0.05, abs=0.01)
    assert (scores["easy"] < reject).mean() == 0 and sure > reject
    with pytest.raises(TrainingDataTooSmall, match="held-out"):
        calibrate.gate_thresholds({"tiny": scores["easy"][:3]}, 0.05)


def test_prototypes_have_unit_length_and_survive_float16() -> None:
    gallery = np.random.default_rng(1).standard_normal((200, 8)).astype(np.float32)
    gallery /= np.linalg.norm(gallery, axis=1, keepdims=True)
    prototypes = calibrate.gate_prototypes(gallery, 16, seed=1)
    assert prototypes.shape == (16, 8) and np.allclose(np.linalg.norm(prototypes, axis=1), 1, atol=2e-3)
    assert np.array_equal(prototypes, prototypes.astype(np.float16).astype(np.float32))


def test_decision_thresholds_are_in_order_and_keep_the_known() -> None:
    rng = np.random.default_rng(2)
    known = {"a": rng.uniform(0.6, 1, 300).astype(np.float32), "b": rng.uniform(0.7, 1, 300).astype(np.float32)}
    outside = rng.uniform(0.2, 0.8, 300).astype(np.float32)
    thresholds, figures = calibrate.decision_thresholds(known, outside)
    assert thresholds["not_found_max_score"] <= thresholds["found_min_score"]
    assert figures["decision.known_missed"].value <= 0.02
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
