"""The semantic head knows its categories, and validation photographs decide how sure it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sightline_export import recipe
from sightline_export.data import Photo, PhotoSet
from sightline_export.semantic_head import fit_semantic

DIM = 16


def made(noise: float) -> tuple[PhotoSet, np.ndarray]:
    """Bread and milk in two sources, one with four times the photographs of the other; held-out ones are noisier."""
    rng = np.random.default_rng(0)
    centres, photos, vectors = rng.standard_normal((2, DIM)), [], []
    for source, share in (("shop", 4), ("stall", 1)):
        for role, count in (("train", 40), ("val", 60), ("test", 60)):
            for number in range(share * count):
                name = ("bread", "milk")[number % 2]
                path = Path(f"{source}-{role}-{number}.png")
                photos.append(Photo(path, source, "catalogue", role, name, name, "", labelled=True))
                vectors.append(centres[number % 2] + (0.3 if role == "train" else noise) * rng.standard_normal(DIM))
    stacked = np.stack(vectors) / np.linalg.norm(vectors, axis=1, keepdims=True)
    return PhotoSet(photos, [], np.empty((0, 1, 1, 3), np.uint8), []), stacked.astype(np.float32)


def fitted(photos: PhotoSet, vectors: np.ndarray, decay: float = 1e-4):
    views = {row: np.empty((0, DIM), np.float32) for row in photos.where(role="train").tolist()}
    return fit_semantic(photos, vectors, views, recipe.Heads(decay=decay))


def test_the_head_knows_its_categories() -> None:
    head, found = fitted(*made(0.3))
    assert head.labels == ("bread", "milk")
    assert found["semantic.accuracy.shop.test"].value > 0.95 and found["semantic.accuracy.shop.test"].n == 240
    assert found["semantic.temperature"].n == 300


@pytest.mark.parametrize(("noise", "decay", "too_sure"), [(3.0, 1e-6, True), (1.5, 1e-1, False)])
def test_the_temperature_corrects_too_sure_and_not_sure_enough(noise: float, decay: float, too_sure: bool) -> None:
    photos, vectors = made(noise)
    head, found = fitted(photos, vectors, decay)
    temperature = found["semantic.temperature"].value
    assert temperature > 1.2 if too_sure else temperature < 0.8
    for source in ("shop", "stall"):
        before = found[f"semantic.calibration_error_before_temperature.{source}.test"].value
        assert found[f"semantic.calibration_error.{source}.test"].value < before
    plain = temperature * (vectors @ head.weight.T + head.bias)
    assert (plain.argmax(axis=1) == head.probabilities(vectors).argmax(axis=1)).all()


def test_without_validation_photographs_the_softmax_stays_as_it_was_trained() -> None:
    photos, vectors = made(0.3)
    rows = np.concatenate([photos.where(role="train"), photos.where(role="test")])
    kept = PhotoSet([photos.photos[row] for row in rows], [], photos.tensors, [])
    _, found = fitted(kept, vectors[rows])
    assert found["semantic.temperature"].value == pytest.approx(1) and found["semantic.temperature"].n == 0
