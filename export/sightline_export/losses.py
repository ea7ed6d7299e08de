"""The four losses of the distillation, each one short function or module on L2-normalised embeddings."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


def teacher_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the mean of 1 - cosine between `(n, d)` student and teacher embeddings."""
    return (1.0 - (student * teacher).sum(dim=1)).mean()


def gallery_loss(student: Tensor, teacher: Tensor, gallery: Tensor, temperature: float) -> Tensor:
    """Return KL(teacher || student) over softmax similarities to a gallery, the mean over the batch.

    `student`, `teacher` are `(n, d)`, `gallery` is `(g, d)`: teacher embeddings, so a student's query learns to
    rank the teacher's gallery as the teacher does (asymmetric retrieval).
    """
    target = functional.log_softmax(teacher @ gallery.T / temperature, dim=1)
    guess = functional.log_softmax(student @ gallery.T / temperature, dim=1)
    return functional.kl_div(guess, target, log_target=True, reduction="batchmean")


class ArcFace(nn.Module):
    """Softmax over scaled cosines with an angular margin on the true class (Deng et al. 2019, section 3.1)."""

    def __init__(self, classes: int, dimension: int, scale: float = 24.0, margin: float = 0.2) -> None:
        super().__init__()
        self.weight = nn.Parameter(functional.normalize(torch.randn(classes, dimension)))
        self.scale, self.margin = scale, margin

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Return the mean loss of `(n, d)` normalised embeddings with `(n,) int64` labels; 0 for an empty batch."""
        if len(labels) == 0:
            return embeddings.sum() * 0.0
        cosine = embeddings @ functional.normalize(self.weight).T
        true = cosine.gather(1, labels[:, None])
        sine = torch.sqrt((1.0 - true.square()).clamp(min=1e-7))
        shifted = true * math.cos(self.margin) - sine * math.sin(self.margin)
        # Past pi - margin the cosine would rise again: go on with a straight line.
        straight = true - self.margin * math.sin(self.margin)
        shifted = torch.where(true > math.cos(math.pi - self.margin), shifted, straight)
        return functional.cross_entropy(cosine.scatter(1, labels[:, None], shifted) * self.scale, labels)


class SemanticLoss(nn.Module):
    """Softmax cross-entropy of a linear classifier of categories on the embedding."""

    def __init__(self, classes: int, dimension: int, scale: float = 16.0) -> None:
        super().__init__()
        self.linear = nn.Linear(dimension, classes)
        self.scale = scale

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Return the mean loss of `(n, d)` embeddings with `(n,) int64` labels; 0 for an empty batch."""
        if len(labels) == 0:
            return embeddings.sum() * 0.0
        return functional.cross_entropy(self.linear(embeddings * self.scale), labels)
