"""One step of learning: the losses of a batch, the optimiser, and the checkpoint that survives a kill."""

from __future__ import annotations

import math
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sightline_export.batches import TrainingSet
from sightline_export.losses import (
    ArcFace,
    SemanticLoss,
    gallery_loss,
    influence_loss,
    relational_loss,
    structure_loss,
    teacher_loss,
)
from sightline_export.recipe import Recipe
from sightline_export.student import Student
from sightline_export.train_codec import train_codec
from sightline_shared.errors import RecipeInvalid

WARMUP_SHARE = 0.05


def learning_rate_factor(step: int, steps: int) -> float:
    """Return a linear warm-up, then half a cosine to zero."""
    warmup = max(1, round(steps * WARMUP_SHARE))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


class Learner:
    """The trainable parts, their optimiser, and one step of learning.

    `old_centres` `(c, d) float32` are the class means of an earlier model's embeddings, for backward compatibility.
    """

    def __init__(
        self,
        student: Student,
        data: TrainingSet,
        recipe: Recipe,
        steps: int,
        *,
        device: str = "cpu",
        old_centres: NDArray[np.float32] | None = None,
    ) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.steps, self.device = recipe, steps, torch.device(device)
        self.student = student.to(self.device)
        self.targets = self._tensor(data.targets)
        self.gallery = self._tensor(data.targets[~data.views])
        self.items, self.categories = self._tensor(data.items), self._tensor(data.categories)
        self.anchors = self._anchors(data.targets)
        self.old_centres = None if old_centres is None else self._tensor(old_centres)
        self.arcface = self._arcface(int(data.items.max()) + 1)
        classes = max(1, int(data.categories.max()) + 1)
        self.semantic = SemanticLoss(classes, recipe.student.dimension).to(self.device)
        self.optimiser = self._optimiser()
        self.base_rates = [group["lr"] for group in self.optimiser.param_groups]

    def learn(self, step: int, batch: Tensor, rows: Tensor) -> dict[str, float]:
        """Take one step on a batch, uint8 pixels or what the frozen blocks made of them; returns the losses."""
        factor = learning_rate_factor(step, self.steps)
        for group, rate in zip(self.optimiser.param_groups, self.base_rates, strict=True):
            group["lr"] = rate * factor
        lowered = self._lowered(batch.to(self.device))
        rows = rows.to(self.device)
        if self.recipe.augment.adversarial > 0:
            lowered = self._attacked(lowered, rows)
        parts = self.losses(self.student.from_lower(lowered), rows)
        weights = {**vars(self.recipe.loss), "influence": self.recipe.compatibility.weight}
        total = torch.stack([weights[name] * value for name, value in parts.items()]).sum()
        self.optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(total)
        self.optimiser.step()
        return {"total": float(total.detach()), **{name: float(value.detach()) for name, value in parts.items()}}

    def losses(self, embeddings: Tensor, rows: Tensor) -> dict[str, Tensor]:
        """Return the losses of a batch that the recipe gives a weight, by name."""
        target, weights = self.targets[rows], self.recipe.loss
        labelled = self.items[rows] >= 0
        known, items = embeddings[labelled], self.items[rows][labelled]
        parts: dict[str, Tensor] = {}
        if weights.teacher:
            parts["teacher"] = teacher_loss(embeddings, target)
        if weights.gallery:
            parts["gallery"] = gallery_loss(embeddings, target, self.gallery, weights.temperature)
        if weights.relational:
            parts["relational"] = relational_loss(embeddings, target)
        if self.anchors is not None:
            anchors, turn = self.anchors
            parts["structure"] = structure_loss(
                embeddings @ turn, target @ turn, anchors, weights.structure_temperature
            )
        if weights.instance:
            parts["instance"] = self.arcface(known, items)
        if weights.semantic:
            parts["semantic"] = self.semantic(known, self.categories[rows][labelled])
        if self.old_centres is not None:
            parts["influence"] = influence_loss(known, items, self.old_centres, weights.scale)
        return parts

    def save(self, path: Path, step: int, fingerprint: str, history: list[dict[str, float]]) -> None:
        """Write a checkpoint that is whole or absent."""
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_suffix(".tmp")
        state = {
            "step": step,
            "fingerprint": fingerprint,
            "history": history,
            "student": self.student.state_dict(),
            "arcface": self.arcface.state_dict(),
            "semantic": self.semantic.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "saved_at_s": time.time(),
        }
        torch.save(state, aside)
        aside.replace(path)

    def resume(self, path: Path, fingerprint: str, history: list[dict[str, float]]) -> int:
        """Load a checkpoint and return its step; raises RecipeInvalid for one of another recipe or of other photographs."""
        stored = torch.load(path, map_location=self.device, weights_only=True)
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

    def _lowered(self, batch: Tensor) -> Tensor:
        if batch.dtype == torch.uint8:
            with torch.no_grad():
                batch = self.student.backbone.lower(batch, self.student.frozen_blocks)
        return batch.contiguous(memory_format=torch.channels_last)

    def _attacked(self, lowered: Tensor, rows: Tensor) -> Tensor:
        """Return the batch moved one signed step against the student (fast gradient sign: Goodfellow et al. 2015)."""
        probe = lowered.detach().requires_grad_(True)
        loss = teacher_loss(self.student.from_lower(probe), self.targets[rows])
        (gradient,) = torch.autograd.grad(loss, probe)
        return lowered + self.recipe.augment.adversarial * lowered.std() * gradient.sign()

    def _anchors(self, targets: NDArray[np.float32]) -> tuple[Tensor, Tensor] | None:
        """Return the centroids of a quantizer of the teacher's gallery, and the rotation into its space (transposed)."""
        if not self.recipe.loss.structure:
            return None
        codec = train_codec(targets, self.recipe.loss.structure_subspaces, 10, self.recipe.seed)
        return self._tensor(codec.codebooks), self._tensor(np.ascontiguousarray(codec.rotation.T))

    def _arcface(self, classes: int) -> ArcFace:
        """Return the instance loss with class centres where the teacher has them: the first steps tear nothing away."""
        weights = self.recipe.loss
        arcface = ArcFace(classes, self.recipe.student.dimension, weights.scale, weights.margin).to(self.device)
        with torch.no_grad():
            for item in range(classes):
                members = self.targets[self.items == item]
                if len(members):
                    arcface.weight[item] = members.mean(dim=0)
        return arcface

    def _optimiser(self) -> torch.optim.AdamW:
        student, settings = self.student, self.recipe.training
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
        return torch.optim.AdamW(
            [{"params": trunk, "lr": settings.learning_rate}, {"params": heads, "lr": settings.head_learning_rate}],
            weight_decay=settings.weight_decay,
        )

    def _tensor(self, values: NDArray[np.float32] | NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(values).to(self.device)
