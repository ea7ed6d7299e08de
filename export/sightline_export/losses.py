"""The losses of the distillation, each one short function or module on L2-normalised embeddings."""

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


def relational_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the Huber distance between the two batches' pairwise distances, each scaled by its mean.

    Relational knowledge distillation, distance-wise (Park et al., CVPR 2019, equations 4 to 6); 0 for one embedding.
    """
    if len(student) < 2:
        return student.sum() * 0.0
    return functional.smooth_l1_loss(_scaled_distances(student), _scaled_distances(teacher))


def _scaled_distances(x: Tensor) -> Tensor:
    distances = functional.pdist(x)
    return distances / distances.mean().clamp(min=1e-12)


def structure_loss(student: Tensor, teacher: Tensor, anchors: Tensor, temperature: float) -> Tensor:
    """Return the KL divergence between both embeddings' similarities to anchors, the mean over batch and subspaces.

    Structure Similarity Preservation (arXiv 2403.00648, section 3): `anchors` `(m, k, d / m)` are a product quantizer's
    centroids of the teacher's gallery. Each `(n, d)` embedding, in the quantizer's rotated space, is cut into m parts; a
    part's softmax over its inner products with the subspace's k anchors is what the student has to keep.
    """
    target = functional.log_softmax(_anchor_similarities(teacher, anchors) / temperature, dim=2)
    guess = functional.log_softmax(_anchor_similarities(student, anchors) / temperature, dim=2)
    divergence = functional.kl_div(guess, target, log_target=True, reduction="sum")
    return divergence / (len(student) * len(anchors))


def _anchor_similarities(x: Tensor, anchors: Tensor) -> Tensor:
    parts = x.reshape(len(x), len(anchors), -1)
    return torch.einsum("nmw,mkw->nmk", functional.normalize(parts, dim=2), functional.normalize(anchors, dim=2))


def influence_loss(student: Tensor, labels: Tensor, centres: Tensor, scale: float) -> Tensor:
    """Return the cross-entropy of the old model's classifier on new embeddings; 0 for an empty batch.

    Backward-compatible training (Shen et al., CVPR 2020, section 3.3): `centres` `(c, d)` are the class means of the old
    model's embeddings, fixed, so a new gallery stays where the old queries look for it.
    """
    if len(labels) == 0:
        return student.sum() * 0.0
    return functional.cross_entropy(student @ centres.T * scale, labels)


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
