"""The student: a backbone and a linear head, from uint8 pixels to an L2-normalised embedding."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from sightline_export import recipe as recipes
from sightline_export.lite import EfficientNetLite, load_backbone
from sightline_shared.errors import RecipeInvalid


class Student(nn.Module):
    """`(n, size, size, 3) uint8` pixels to `(n, d) float32` embeddings of length 1."""

    def __init__(self, backbone: EfficientNetLite, dimension: int, frozen_blocks: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(backbone.features, dimension)
        self.frozen_blocks = frozen_blocks

    def forward(self, pixels: Tensor) -> Tensor:
        return functional.normalize(self.head(self.backbone(pixels)))

    def from_lower(self, x: Tensor) -> Tensor:
        """Embed what the frozen blocks made of the pixels."""
        return functional.normalize(self.head(self.backbone.upper(x, self.frozen_blocks)))


class Lower(nn.Module):
    """The frozen part alone, for export to a fast runtime."""

    def __init__(self, student: Student) -> None:
        super().__init__()
        self.backbone = copy.deepcopy(student.backbone)
        self.backbone.fold()
        self.blocks = student.frozen_blocks

    def forward(self, pixels: Tensor) -> Tensor:
        return self.backbone.lower(pixels, self.blocks)


def new_student(settings: recipes.Student, weights: Path | None) -> Student:
    """Return a student with the backbone's ImageNet weights and a head still to be set."""
    backbone = load_backbone(settings.backbone, weights)
    if not isinstance(backbone, EfficientNetLite):
        raise RecipeInvalid(f"student.backbone: expected an EfficientNet-Lite, got '{settings.backbone}'.")
    if settings.frozen_blocks > len(backbone.blocks):
        raise RecipeInvalid(
            f"student.frozen_blocks: expected at most the {len(backbone.blocks)} blocks of {settings.backbone}, "
            f"got {settings.frozen_blocks}."
        )
    return Student(backbone, settings.dimension, settings.frozen_blocks)


def folded(student: Student) -> Student:
    """Return a copy for export: batch norms folded, eval mode."""
    twin = copy.deepcopy(student).eval()
    twin.backbone.fold()
    return twin


def ridge_head(
    student: Student, features: NDArray[np.float32], targets: NDArray[np.float32], penalty: float = 0.1
) -> float:
    """Set the head to the ridge regression from features `(n, f)` to teacher embeddings `(n, d)`.

    `penalty` is relative to the mean variance of a feature. Returns the mean cosine on the same photographs.
    """
    x = features.astype(np.float64)
    mean = x.mean(axis=0)
    target_mean = targets.mean(axis=0)
    centred = x - mean
    gram = centred.T @ centred
    gram[np.diag_indices_from(gram)] += penalty * np.trace(gram) / len(gram)
    weight = np.linalg.solve(gram, centred.T @ (targets - target_mean))
    bias = target_mean - mean @ weight
    with torch.no_grad():
        student.head.weight.copy_(torch.from_numpy(weight.T.astype(np.float32)))
        student.head.bias.copy_(torch.from_numpy(bias.astype(np.float32)))
    guess = x @ weight + bias
    guess /= np.maximum(np.linalg.norm(guess, axis=1, keepdims=True), 1e-12)
    return float((guess * targets).sum(axis=1).mean())


def averaged(start: dict[str, Tensor], trained: dict[str, Tensor], share: float) -> dict[str, Tensor]:
    """Return weights on the line from `start` to `trained`, at `share` of the way (Wortsman et al. 2022, WiSE-FT)."""
    return {
        key: value if not value.is_floating_point() else start[key] * (1 - share) + value * share
        for key, value in trained.items()
    }
