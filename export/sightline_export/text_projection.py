"""The projection from text vectors into the pictures' space: ridge regression, its decay chosen on classes left out.

It gives the direction in which a text lies from the mean picture: that is what is added to a query.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sightline_export.evaluate import Figure, mean_figure
from sightline_export.text_classes import DescribedClass
from sightline_shared.tower import Projection

DECAYS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
FOLDS = 10
SEED = 0

Vectors = NDArray[np.float32]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Chosen:
    """The decay that was best on classes left out, and how well texts found these classes, by figure."""

    decay: float
    figures: dict[str, Figure]


def fit(texts: Sequence[Vectors], targets: Vectors, decay: float) -> Projection:
    """Return the projection from each class's `texts` `(n_i, width)` to where its target lies from the mean of `targets`
    `(classes, d)`.

    Every class weighs the same, however much is said of it. Closed form, in the dual: there are fewer texts than numbers.
    """
    x = np.concatenate(texts).astype(np.float64)
    y = np.repeat(targets.astype(np.float64), [len(each) for each in texts], axis=0)
    weights = np.repeat([1 / len(each) for each in texts], [len(each) for each in texts])
    mean_x, mean_y = weights @ x / weights.sum(), weights @ y / weights.sum()
    roots = np.sqrt(weights)[:, np.newaxis]
    left, right = (x - mean_x) * roots, (y - mean_y) * roots
    dual = np.linalg.solve(left @ left.T + decay * np.eye(len(left)), right)
    weight = (left.T @ dual).T
    return Projection(weight.astype(np.float32), (-weight @ mean_x).astype(np.float32))


def choose(classes: Sequence[DescribedClass], texts: Sequence[Vectors]) -> Chosen:
    """Choose the decay by the mean cosine, about the classes' mean, of a left-out class's name and its photographs."""
    tried = {decay: _left_out(classes, texts, decay, _folds(len(classes))) for decay in DECAYS}
    best = max(DECAYS, key=lambda decay: float(tried[decay]["cosine"].mean()))
    families = sorted({each.family for each in classes})
    numbers = np.array([families.index(each.family) for each in classes])
    apart = _left_out(classes, texts, best, [np.flatnonzero(numbers == number) for number in range(len(families))])
    figures = {f"class left out: {name}": mean_figure(values) for name, values in tried[best].items()}
    figures |= {f"whole family left out: {name}": mean_figure(values) for name, values in apart.items()}
    return Chosen(best, figures)


def _folds(count: int) -> list[NDArray[np.int64]]:
    return list(np.array_split(np.random.default_rng(SEED).permutation(count), FOLDS))


def _left_out(
    classes: Sequence[DescribedClass], texts: Sequence[Vectors], decay: float, folds: Sequence[NDArray[np.int64]]
) -> dict[str, Floats]:
    """Return, for each class's name by a projection that knew neither it nor its fold: whether the class comes first, or
    among five, of all classes; whether it comes first of its own family (families of several); and the cosine.
    """
    targets = np.stack([each.target for each in classes])
    centre = targets.mean(axis=0)
    pictures = _unit(targets - centre)
    found: dict[str, list[float]] = {"first of all": [], "among five": [], "first of its family": [], "cosine": []}
    for fold in folds:
        known = sorted(set(range(len(classes))).difference(fold.tolist()))
        projection = fit([texts[row] for row in known], targets[known], decay)
        for row in fold.tolist():
            scores = (projection.apply(texts[row][:1]) @ pictures.T)[0]
            place = int((scores > scores[row]).sum())
            found["first of all"].append(place == 0)
            found["among five"].append(place < 5)
            found["cosine"].append(float(scores[row]))
            family = [other for other, each in enumerate(classes) if each.family == classes[row].family]
            if len(family) > 1:
                found["first of its family"].append(bool(scores[family].max() == scores[row]))
    return {name: np.array(values, np.float64) for name, values in found.items() if values}


def _unit(vectors: Vectors) -> Vectors:
    unit: Vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return unit
