"""The training loop: the student learns the teacher's embedding from augmented photographs.

The frozen blocks run in ONNX Runtime inside the loading process, which also augments; torch trains the rest. Batch
norms keep their statistics. Every batch depends on (seed, step) alone, so an interrupted run goes on from its last
checkpoint as if nothing had happened.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from sightline_export.augment import Strength, augment
from sightline_export.convert_onnx import open_session, run_rows, to_onnx
from sightline_export.losses import ArcFace, SemanticLoss, gallery_loss, teacher_loss
from sightline_export.progress import Progress
from sightline_export.recipe import Recipe, Training
from sightline_export.student import Lower, Student
from sightline_shared.errors import RecipeInvalid

WARMUP_SHARE = 0.05


@dataclass(frozen=True)
class TrainingSet:
    """What the loop learns from, all in the same order: `n` photographs of which some have labels (else -1)."""

    images: list[Image.Image]
    targets: NDArray[np.float32]
    items: NDArray[np.int64]
    categories: NDArray[np.int64]
    groups: NDArray[np.int64]
    outside: NDArray[np.bool_]


class Batches(Dataset[tuple[Tensor, Tensor]]):
    """Batch `step`: what the frozen blocks make of augmented photographs, and the photographs' rows."""

    def __init__(self, data: TrainingSet, lower: bytes, size: int, settings: Training, seed: int, steps: int) -> None:
        self.data, self.lower, self.size = data, lower, size
        self.settings, self.seed, self.steps = settings, seed, steps
        self._session: Any = None

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng((self.seed, step))
        rows = draw_rows(self.data, self.settings, rng)
        strength = Strength()
        views = [augment(self.data.images[row], self.size, rng, strength) for row in rows]
        if self._session is None:  # opened here: a session does not survive the fork into a worker
            self._session = open_session(self.lower, threads=1)
        lowered = run_rows(self._session, views)
        return torch.from_numpy(lowered), torch.from_numpy(rows)


def draw_rows(data: TrainingSet, settings: Training, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw one batch `(batch,)`: `outside_share` from outside, the rest from the sources by the root of their size.

    Within a source every photograph is as likely as any other.
    """
    outside = np.flatnonzero(data.outside)
    inside = np.flatnonzero(~data.outside)
    count = round(settings.batch * settings.outside_share) if len(outside) else 0
    names, sizes = np.unique(data.groups[inside], return_counts=True)
    weights = dict(zip(names.tolist(), (1 / np.sqrt(sizes)).tolist(), strict=True))
    chance = np.array([weights[group] for group in data.groups[inside].tolist()])
    chosen = rng.choice(inside, settings.batch - count, p=chance / chance.sum())
    return np.concatenate([chosen, rng.choice(outside, count)]) if count else chosen


def distill(
    student: Student, data: TrainingSet, recipe: Recipe, folder: Path, progress: Progress, *, fingerprint: str
) -> list[dict[str, float]]:
    """Train `student` in place; returns the loss history, one entry per checkpoint interval.

    `fingerprint` identifies recipe and data: a checkpoint in `folder` with another one is refused (RecipeInvalid).
    """
    settings = recipe.training
    steps = math.ceil(settings.images / settings.batch)
    lower = to_onnx(Lower(student), recipe.student.size, "lower").SerializeToString()
    learner = _Learner(student, data, recipe, steps)
    checkpoint = folder / "checkpoint.pt"
    history: list[dict[str, float]] = []
    start = learner.resume(checkpoint, fingerprint, history) if checkpoint.is_file() else 0
    batches = Batches(data, lower, recipe.student.size, settings, recipe.seed, steps)
    recent: list[dict[str, float]] = []
    with progress.bar(steps, "distillation", start) as advance:
        for step, (lowered, rows) in enumerate(_load(batches, start, settings.workers), start):
            losses = learner.learn(step, lowered, rows)
            recent.append(losses)
            advance(1, f"loss {losses['total']:.3f}")
            if (step + 1) % settings.checkpoint_steps == 0 or step + 1 == steps:
                means = {name: round(float(np.mean([item[name] for item in recent])), 4) for name in losses}
                history.append({"step": step + 1, **means})
                recent.clear()
                learner.save(checkpoint, step + 1, fingerprint, history)
    student.eval()
    return history


def learning_rate_factor(step: int, steps: int) -> float:
    """Return a linear warm-up, then half a cosine to zero."""
    warmup = max(1, round(steps * WARMUP_SHARE))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


class _Learner:
    """The trainable parts, their optimiser, and one step of learning."""

    def __init__(self, student: Student, data: TrainingSet, recipe: Recipe, steps: int) -> None:
        torch.manual_seed(recipe.seed)
        settings, dim = recipe.training, recipe.student.dimension
        self.student, self.loss, self.steps = student, recipe.loss, steps
        self.targets = torch.from_numpy(data.targets)
        self.items, self.categories = torch.from_numpy(data.items), torch.from_numpy(data.categories)
        self.arcface = ArcFace(int(data.items.max()) + 1, dim, recipe.loss.scale, recipe.loss.margin)
        self.semantic = SemanticLoss(max(1, int(data.categories.max()) + 1), dim)
        # Class centres start where the teacher has them, so that the first steps do not tear the student away.
        with torch.no_grad():
            for item in range(len(self.arcface.weight)):
                members = self.targets[self.items == item]
                if len(members):
                    self.arcface.weight[item] = members.mean(dim=0)
        student.eval()  # batch norms keep their statistics; nothing else differs between the modes
        for parameter in student.parameters():
            if parameter.dim() == 4:  # depthwise convolutions are faster so
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        student.requires_grad_(False)
        trunk: list[nn.Parameter] = []
        for module in (*student.backbone.blocks[student.frozen_blocks :], student.backbone.head):
            module.requires_grad_(True)
            trunk += module.parameters()
        student.head.requires_grad_(True)
        heads = [*student.head.parameters(), *self.arcface.parameters(), *self.semantic.parameters()]
        self.optimiser = torch.optim.AdamW(
            [
                {"params": trunk, "lr": settings.learning_rate},
                {"params": heads, "lr": settings.head_learning_rate},
            ],
            weight_decay=settings.weight_decay,
        )
        self.base_rates = [settings.learning_rate, settings.head_learning_rate]

    def learn(self, step: int, lowered: Tensor, rows: Tensor) -> dict[str, float]:
        """Take one step on a batch; returns the losses."""
        factor = learning_rate_factor(step, self.steps)
        for group, rate in zip(self.optimiser.param_groups, self.base_rates, strict=True):
            group["lr"] = rate * factor
        embeddings = self.student.from_lower(lowered.contiguous(memory_format=torch.channels_last))
        target, weights = self.targets[rows], self.loss
        labelled = self.items[rows] >= 0
        parts = {
            "teacher": teacher_loss(embeddings, target),
            "gallery": gallery_loss(embeddings, target, self.targets, weights.temperature),
            "instance": self.arcface(embeddings[labelled], self.items[rows][labelled]),
            "semantic": self.semantic(embeddings[labelled], self.categories[rows][labelled]),
        }
        total = torch.stack([getattr(weights, name) * value for name, value in parts.items()]).sum()
        self.optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(total)
        self.optimiser.step()
        return {"total": float(total.detach()), **{name: float(value.detach()) for name, value in parts.items()}}

    def save(self, path: Path, step: int, fingerprint: str, history: list[dict[str, float]]) -> None:
        """Write a checkpoint that is whole or absent."""
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_suffix(".tmp")
        torch.save(
            {
                "step": step,
                "fingerprint": fingerprint,
                "history": history,
                "student": self.student.state_dict(),
                "arcface": self.arcface.state_dict(),
                "semantic": self.semantic.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "saved_at_s": time.time(),
            },
            aside,
        )
        aside.replace(path)

    def resume(self, path: Path, fingerprint: str, history: list[dict[str, float]]) -> int:
        """Load a checkpoint and return its step."""
        stored = torch.load(path, map_location="cpu", weights_only=True)
        if stored["fingerprint"] != fingerprint:
            raise RecipeInvalid(
                f"{path}: expected a checkpoint of this recipe and these photographs, got one of others.",
                hint="Choose another --out folder, or delete the checkpoint to train from the start.",
            )
        self.student.load_state_dict(stored["student"])
        self.arcface.load_state_dict(stored["arcface"])
        self.semantic.load_state_dict(stored["semantic"])
        self.optimiser.load_state_dict(stored["optimiser"])
        history += stored["history"]
        return int(stored["step"])


def _load(batches: Batches, start: int, workers: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the batches from `start` on, made in worker processes when there are any."""
    steps = list(range(start, len(batches)))
    if not steps:
        return iter(())
    loader = DataLoader(batches, batch_size=None, sampler=steps, num_workers=workers)
    return iter(loader)
