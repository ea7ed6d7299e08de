"""The heads learn from some photographs and are judged on others; one person's photographs stay on one side."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sightline_export import heads, recipe
from sightline_export.data import Photo, PhotoSet

DIM = 16
RNG = np.random.default_rng(0)
CENTRES = RNG.standard_normal((5, DIM))


def photo(kind: str, role: str, coarse: str, number: int, instance: str = "") -> Photo:
    path = Path(f"{kind}-{role}-{coarse}-{number}.png")
    return Photo(path, kind, kind, role, coarse, coarse, instance, labelled=kind == "catalogue")


def made() -> tuple[PhotoSet, np.ndarray]:
    """Two categories for sale, and two sensitive kinds: scans of ten people with three pictures each, and smears."""
    photos, centres = [], []
    for role, count in (("train", 60), ("val", 40), ("test", 40)):
        for number in range(count):
            photos.append(photo("catalogue", role, ("bread", "milk")[number % 2], number))
            centres.append(CENTRES[number % 2])
    for number in range(30):
        photos.append(photo("sensitive", "sensitive", "scan", number, f"person-{number // 3}"))
        centres.append(CENTRES[2])
    for number in range(30):
        photos.append(photo("sensitive", "sensitive", "smear", number))
        centres.append(CENTRES[3])
    vectors = np.stack(centres) + 0.3 * RNG.standard_normal((len(centres), DIM))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    tensors = np.zeros((len(photos), 1, 1, 3), np.uint8)
    images = [Image.new("RGB", (1, 1))] * len(photos)
    return PhotoSet(photos, images, tensors, [str(i) for i in range(len(photos))]), vectors.astype(np.float32)


def no_views(rows: np.ndarray) -> dict[int, np.ndarray]:
    return {int(row): np.empty((0, DIM), np.float32) for row in rows}


def test_the_semantic_head_knows_its_categories_and_how_sure_it_is() -> None:
    photos, vectors = made()
    train = photos.where(role="train")
    head, found = heads.fit_semantic(photos, vectors, no_views(train), recipe.Heads())
    assert head.labels == ("bread", "milk")
    assert found["semantic.accuracy.catalogue.test"].value > 0.95 and found["semantic.accuracy.catalogue.test"].n == 40
    assert 0 <= found["semantic.calibration_error.catalogue.val"].value < 0.2


def test_the_calibration_error_is_the_mean_gap_over_bins() -> None:
    confidence = np.array([0.95, 0.95, 0.55, 0.55], np.float32)
    right = np.array([1.0, 0.0, 1.0, 1.0])
    assert heads.calibration_error(confidence, right) == pytest.approx(0.5 * 0.45 + 0.5 * 0.45, abs=1e-6)
    assert heads.calibration_error(np.array([1.0], np.float32), np.array([1.0])) == 0.0


def test_the_sensitive_head_flags_every_kind_and_spares_the_shop() -> None:
    photos, vectors = made()
    rows = photos.where(kind="sensitive")
    head, found = heads.fit_sensitive(
        photos, vectors, no_views(rows), no_views(photos.where(role="train")), recipe.Heads()
    )
    assert head.kinds == ("scan", "smear")
    assert (head.scores(vectors[rows]) >= head.unsure_above).mean() > 0.95
    held = photos.where(role="test")
    assert len(heads.good_rows(photos, "val")) == 40 and set(heads.asked_rows(photos)) == {"catalogue"}
    assert (head.scores(vectors[held]) >= head.unsure_above).mean() <= 0.1
    assert found["sensitive.auroc.all.catalogue"].value > 0.99
    assert found["sensitive.auroc.scan.catalogue"].n == 30 + len(held)
    assert found["sensitive.missed.smear"].interval is not None and found["sensitive.missed.smear"].interval[1] > 0
    assert {"sensitive.auroc_kind_never_seen.scan.catalogue", "sensitive.false_alarm.catalogue"} <= set(found)


def test_one_persons_photographs_stay_together() -> None:
    photos, _ = made()
    rows = photos.where(kind="sensitive")
    people: dict[str, set[int]] = {}
    for row in rows:
        if photos.photos[row].instance:
            people.setdefault(photos.photos[row].instance, set()).add(heads.fold_of(photos, row))
    assert len(people) == 10 and all(len(folds) == 1 for folds in people.values())
    assert len({heads.fold_of(photos, row) for row in rows}) == heads.FOLDS


def test_the_threshold_keeps_the_bound_and_takes_caution_that_costs_nothing() -> None:
    settings = recipe.Heads(sensitive_miss=0.05, sensitive_alarm=0.1)
    blind = np.linspace(0, 1, 200).astype(np.float32)
    low, high = heads.thresholds(blind, np.full(100, -5.0, np.float32), settings)
    assert low == pytest.approx(-5.0) and high >= low  # nothing good lies higher: be careful
    crowded = np.linspace(-1, 2, 300).astype(np.float32)
    low, _ = heads.thresholds(blind, crowded, settings)
    assert (blind < low).mean() <= 0.05
    few = heads.thresholds(blind[:5] + 3, crowded, settings)
    assert few[0] <= float(blind[:5].min()) + 3
