"""Training the semantic head: a softmax over categories whose temperature the validation photographs set."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sightline_export import recipe as recipes
from sightline_export.data import PhotoSet
from sightline_export.evaluate import Figure, mean_figure
from sightline_export.evaluation.reliability import expected_calibration_error
from sightline_export.linear import fit_softmax, fit_temperature
from sightline_shared.heads import Semantic

Vectors = NDArray[np.float32]
Numbers = NDArray[np.int64]


def fit_semantic(
    photos: PhotoSet, vectors: Vectors, views: dict[int, Vectors], settings: recipes.Heads
) -> tuple[Semantic, dict[str, Figure]]:
    """Return the softmax over the training photographs' categories, with accuracy and calibration on held-out ones.

    The temperature is folded into weight and bias: it changes how sure the head is, never what it says.
    """
    train = [row for row in photos.where(role="train", kind="catalogue").tolist() if photos.photos[row].labelled]
    labels = tuple(sorted({photos.photos[row].coarse for row in train}))
    numbers = {label: number for number, label in enumerate(labels)}
    x = np.concatenate([vectors[train], *(views[row] for row in train)])
    y = [numbers[photos.photos[row].coarse] for row in train]
    y += [numbers[photos.photos[row].coarse] for row in train for _ in views[row]]
    weight, bias = fit_softmax(x, np.asarray(y, np.int64), len(labels), decay=settings.decay)
    plain = Semantic(labels, weight, bias)
    temperature, chosen_on = validated_temperature(plain, photos, vectors)
    head = Semantic(labels, weight / temperature, bias / temperature)
    found = {"semantic.temperature": Figure(temperature, None, chosen_on, "validation photographs, sources alike")}
    for role in ("val", "test"):
        for source, (rows, truth) in held_out(photos, labels, role).items():
            data = f"{source} {role}"
            shares = head.probabilities(vectors[rows])
            right = (shares.argmax(axis=1) == truth).astype(np.float64)
            found[f"semantic.accuracy.{source}.{role}"] = mean_figure(right, data)
            for name, one in (("calibration_error", head), ("calibration_error_before_temperature", plain)):
                sure = one.probabilities(vectors[rows]).max(axis=1).astype(np.float64)
                found[f"semantic.{name}.{source}.{role}"] = expected_calibration_error(sure, right, data)
    return head, found


def held_out(photos: PhotoSet, labels: tuple[str, ...], role: str) -> dict[str, tuple[Numbers, Numbers]]:
    """Return, by catalogue source, the rows of a known category in `role` that are no studio pictures, and its number."""
    numbers = {label: number for number, label in enumerate(labels)}
    found: dict[str, tuple[Numbers, Numbers]] = {}
    for source in dict.fromkeys(photo.source for photo in photos.photos if photo.kind == "catalogue"):
        rows = [
            row
            for row in photos.where(source=source, role=role, studio=False).tolist()
            if photos.photos[row].coarse in numbers
        ]
        if rows:
            truth = [numbers[photos.photos[row].coarse] for row in rows]
            found[source] = np.asarray(rows, np.int64), np.asarray(truth, np.int64)
    return found


def validated_temperature(head: Semantic, photos: PhotoSet, vectors: Vectors) -> tuple[float, int]:
    """Return the temperature that suits the validation photographs and how many they are; 1.0 and 0 without any.

    Every source weighs the same, however many photographs it has.
    """
    groups = list(held_out(photos, head.labels, "val").values())
    if not groups:
        return 1.0, 0
    rows = np.concatenate([rows for rows, _ in groups])
    truth = np.concatenate([truth for _, truth in groups])
    weights = np.concatenate([np.full(len(rows), 1 / len(rows)) for rows, _ in groups])
    return fit_temperature(vectors[rows] @ head.weight.T + head.bias, truth, weights), len(rows)
