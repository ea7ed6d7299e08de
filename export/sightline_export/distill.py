"""The training loop: the student learns the teacher's embedding from augmented photographs.

On the CPU the frozen blocks run in ONNX Runtime inside the loading process, which also augments; torch trains the rest.
On a GPU torch does all of it. Batch norms keep their statistics.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from sightline_export.batches import AugmentedBatches, Sampler, TrainingSet
from sightline_export.convert_onnx import to_onnx
from sightline_export.learner import Learner
from sightline_export.progress import Progress
from sightline_export.recipe import Recipe
from sightline_export.student import Lower, Student
from sightline_shared.errors import ConfigInvalid


def distill(
    student: Student,
    data: TrainingSet,
    recipe: Recipe,
    folder: Path,
    progress: Progress,
    *,
    fingerprint: str,
    device: str = "cpu",
    old_centres: NDArray[np.float32] | None = None,
) -> list[dict[str, float]]:
    """Train `student` in place; returns the loss history, one entry per checkpoint interval.

    `fingerprint` identifies recipe and data: a checkpoint in `folder` with another one is refused (RecipeInvalid).
    `old_centres` `(c, d) float32`: see Learner.
    """
    settings = recipe.training
    steps = math.ceil(settings.images / settings.batch)
    lower = to_onnx(Lower(student), recipe.student.size, "lower").SerializeToString() if device == "cpu" else None
    sampler = Sampler(data, settings, recipe.batches)
    batches = AugmentedBatches(data, sampler, lower, recipe.student.size, recipe.augment, recipe.seed, steps)
    learner = Learner(student, data, recipe, steps, device=device, old_centres=old_centres)
    checkpoint = folder / "checkpoint.pt"
    history: list[dict[str, float]] = []
    start = learner.resume(checkpoint, fingerprint, history) if checkpoint.is_file() else 0
    recent: list[dict[str, float]] = []
    with progress.bar(steps, "distillation", start) as advance:
        for step, (batch, rows) in enumerate(_load(batches, start, settings.workers), start):
            losses = learner.learn(step, batch, rows)
            recent.append(losses)
            advance(1, f"loss {losses['total']:.3f}")
            if (step + 1) % settings.checkpoint_steps == 0 or step + 1 == steps:
                means = {name: round(float(np.mean([item[name] for item in recent])), 4) for name in losses}
                history.append({"step": step + 1, **means})
                recent.clear()
                learner.save(checkpoint, step + 1, fingerprint, history)
    student.to("cpu").eval()
    return history


def check_device(device: str) -> str:
    """Return `device` when torch can compute on it; raises ConfigInvalid."""
    if device == "cpu" or (device == "cuda" and torch.cuda.is_available()):
        return device
    raise ConfigInvalid(
        f"device: expected 'cpu', or 'cuda' with a GPU that torch can use, got '{device}'.",
        hint="Leave --device out to train on the CPU.",
    )


def _load(batches: AugmentedBatches, start: int, workers: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the batches from `start` on, made in worker processes when there are any."""
    steps = list(range(start, len(batches)))
    if not steps:
        return iter(())
    loader = DataLoader(batches, batch_size=None, sampler=steps, num_workers=workers)
    return iter(loader)
