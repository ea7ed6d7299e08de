"""The teacher: frozen networks joined, and a linear ArcFace head that turns them into embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from sightline_export.data import PhotoSet
from sightline_export.feature_networks import ONNX, network_features
from sightline_export.losses import ArcFace
from sightline_export.recipe import Teacher
from sightline_export.workspace import Run

HEAD_BATCH = 256
HEAD_LEARNING_RATE = 6e-3
HEAD_WEIGHT_DECAY = 0.3


@dataclass(frozen=True)
class TeacherHead:
    """The linear head: `mean` `(f,)`, `weight` `(f, d)`; both float32."""

    mean: NDArray[np.float32]
    weight: NDArray[np.float32]

    def embed(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return L2-normalised embeddings `(n, d) float32` of joined features `(n, f)`."""
        return normalise(((features - self.mean) @ self.weight).astype(np.float32, copy=False))


def normalise(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the rows of `(n, d)` at length 1."""
    norms = np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    return np.asarray(x / norms, dtype=np.float32)


def joined_features(names: Sequence[str], run: Run, photos: PhotoSet) -> NDArray[np.float32]:
    """Return `(n, f) float32`: each network's features at length 1, side by side."""
    paths = [ONNX + str(run.recipe.path(name.removeprefix(ONNX))) if name.startswith(ONNX) else name for name in names]
    return np.concatenate(
        [network_features(name, run.weights, photos, run.features, run.progress) for name in paths], 1
    )


def train_head(
    features: NDArray[np.float32], labels: NDArray[np.int64], dimension: int, settings: Teacher, seed: int
) -> TeacherHead:
    """Train the head on features `(n, f)` with labels `(n,)`; -1 marks a photograph without a label.

    Starts from the half-whitened principal components of all features, which keep what the labels do not tell.
    """
    torch.manual_seed(seed)
    mean, start = half_whitened_pca(features, dimension)
    known = labels >= 0
    x = torch.from_numpy(features[known] - mean)
    y = torch.from_numpy(labels[known])
    weight = torch.nn.Parameter(torch.from_numpy(start.copy()))
    arcface = ArcFace(int(labels.max()) + 1, dimension, settings.scale, settings.margin)
    steps = settings.epochs * max(1, len(x) // HEAD_BATCH)
    optimiser = torch.optim.AdamW(
        [
            {"params": [weight], "lr": HEAD_LEARNING_RATE * float(start.std())},
            {"params": arcface.parameters(), "lr": HEAD_LEARNING_RATE * 5},
        ],
        weight_decay=HEAD_WEIGHT_DECAY,
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, [group["lr"] for group in optimiser.param_groups], max(steps, 2), pct_start=0.1
    )
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        rows = torch.randint(len(x), (min(HEAD_BATCH, len(x)),), generator=generator)
        embeddings = functional.normalize(x[rows] @ weight)
        loss = arcface(embeddings, y[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return TeacherHead(mean, weight.detach().numpy().astype(np.float32))


def half_whitened_pca(features: NDArray[np.float32], dimension: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the mean `(f,)` and a projection `(f, dimension)` whose outputs are scaled by eigenvalue ** -1/4.

    With fewer photographs than dimensions, the directions that the data do not span are filled at random.
    """
    mean = features.mean(axis=0)
    centred = (features - mean).astype(np.float64)
    values, vectors = np.linalg.eigh(centred.T @ centred / max(1, len(features) - 1))
    order = np.argsort(values)[::-1][:dimension]
    values, vectors = np.maximum(values[order], values.max() * 1e-4), vectors[:, order]
    return mean.astype(np.float32), (vectors * values**-0.25).astype(np.float32)
