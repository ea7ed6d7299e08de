"""Every loss against the slow, obvious formula."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch.nn import functional

from sightline_export.losses import (
    ArcFace,
    SemanticLoss,
    gallery_loss,
    influence_loss,
    relational_loss,
    structure_loss,
    teacher_loss,
)


def unit(rows: int, dim: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return functional.normalize(torch.randn(rows, dim, generator=generator))


def test_teacher_loss_is_the_mean_of_one_minus_cosine() -> None:
    student, teacher = unit(5, 8, 0), unit(5, 8, 1)
    slow = sum(1 - float(a @ b) for a, b in zip(student, teacher, strict=True)) / 5
    assert math.isclose(float(teacher_loss(student, teacher)), slow, rel_tol=1e-5)


def test_gallery_loss_is_the_kl_divergence_of_the_two_softmaxes() -> None:
    student, teacher, gallery = unit(4, 8, 0), unit(4, 8, 1), unit(9, 8, 2)
    slow = 0.0
    for s, t in zip(student.double().numpy(), teacher.double().numpy(), strict=True):
        p, q = (np.exp(gallery.double().numpy() @ v / 0.07) for v in (t, s))
        p, q = p / p.sum(), q / q.sum()
        slow += float((p * np.log(p / q)).sum()) / 4
    assert math.isclose(float(gallery_loss(student, teacher, gallery, 0.07)), slow, rel_tol=1e-4)


def test_gallery_loss_is_zero_for_the_teacher_itself() -> None:
    teacher, gallery = unit(4, 8, 1), unit(9, 8, 2)
    assert abs(float(gallery_loss(teacher, teacher, gallery, 0.07))) < 1e-6


def test_relational_loss_compares_scaled_distances_of_every_pair() -> None:
    student, teacher = unit(5, 8, 0).double(), unit(5, 8, 1).double()
    pairs = [(i, j) for i in range(5) for j in range(i)]
    both = []
    for vectors in (student, teacher):
        distances = [math.dist(vectors[i].tolist(), vectors[j].tolist()) for i, j in pairs]
        both.append([distance / (sum(distances) / len(pairs)) for distance in distances])
    gaps = [abs(a - b) for a, b in zip(*both, strict=True)]
    slow = sum(0.5 * gap**2 if gap < 1 else gap - 0.5 for gap in gaps) / len(pairs)
    assert math.isclose(float(relational_loss(student, teacher)), slow, rel_tol=1e-6)


def test_relational_loss_does_not_see_a_rotation() -> None:
    teacher = unit(6, 8, 1).double()
    turn = torch.linalg.qr(torch.randn(8, 8, generator=torch.Generator().manual_seed(2), dtype=torch.float64))[0]
    assert float(relational_loss(teacher @ turn, teacher)) < 1e-12
    assert float(relational_loss(teacher[:1], teacher[:1])) == 0.0


def test_structure_loss_is_the_mean_divergence_over_subspaces() -> None:
    student, teacher = unit(3, 8, 0).double(), unit(3, 8, 1).double()
    anchors = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    slow = 0.0
    for s, t in zip(student.numpy(), teacher.numpy(), strict=True):
        for m in range(2):
            shares = []
            for vector in (t, s):
                part = vector[4 * m : 4 * m + 4] / np.linalg.norm(vector[4 * m : 4 * m + 4])
                likeness = [float(part @ (a / np.linalg.norm(a))) for a in anchors[m].numpy()]
                powers = np.exp(np.array(likeness) / 0.1)
                shares.append(powers / powers.sum())
            slow += float((shares[0] * np.log(shares[0] / shares[1])).sum()) / 6
    assert math.isclose(float(structure_loss(student, teacher, anchors, 0.1)), slow, rel_tol=1e-6)
    assert abs(float(structure_loss(teacher, teacher, anchors, 0.1))) < 1e-12


def test_influence_loss_is_the_old_classifiers_cross_entropy() -> None:
    student, centres, labels = unit(4, 8, 0), unit(3, 8, 1), torch.tensor([0, 2, 1, 1])
    logits = 12.0 * student @ centres.T
    slow = -sum(float(torch.log(torch.softmax(row, 0)[label])) for row, label in zip(logits, labels, strict=True)) / 4
    assert math.isclose(float(influence_loss(student, labels, centres, 12.0)), slow, rel_tol=1e-5)
    assert float(influence_loss(torch.empty(0, 8), torch.empty(0, dtype=torch.int64), centres, 12.0)) == 0.0


def test_arcface_adds_the_margin_to_the_angle_of_the_true_class() -> None:
    torch.manual_seed(3)
    loss = ArcFace(classes=6, dimension=8, scale=20.0, margin=0.3)
    embeddings, labels = unit(4, 8, 5), torch.tensor([0, 5, 2, 2])
    centres = functional.normalize(loss.weight.detach()).numpy()
    slow = 0.0
    for vector, label in zip(embeddings.numpy(), labels.tolist(), strict=True):
        logits = [
            20.0 * math.cos(math.acos(float(vector @ c)) + (0.3 if i == label else 0)) for i, c in enumerate(centres)
        ]
        slow += (math.log(sum(math.exp(x) for x in logits)) - logits[label]) / 4
    assert math.isclose(float(loss(embeddings, labels).detach()), slow, rel_tol=1e-4)


def test_arcface_keeps_a_gradient_at_the_far_side_and_at_the_centre() -> None:
    loss = ArcFace(classes=2, dimension=2, margin=0.3)
    with torch.no_grad():
        loss.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    for angle in (0.0, math.pi - 0.1):
        vector = torch.tensor([[math.cos(angle), math.sin(angle)]], requires_grad=True)
        loss(vector, torch.tensor([0])).backward()
        assert vector.grad is not None and torch.isfinite(vector.grad).all()


def test_semantic_loss_is_cross_entropy_of_a_linear_classifier() -> None:
    torch.manual_seed(4)
    loss = SemanticLoss(classes=3, dimension=8, scale=2.0)
    embeddings, labels = unit(5, 8, 6), torch.tensor([0, 1, 2, 1, 0])
    logits = ((2.0 * embeddings) @ loss.linear.weight.T + loss.linear.bias).detach()
    slow = -sum(float(torch.log(torch.softmax(row, 0)[label])) for row, label in zip(logits, labels, strict=True)) / 5
    assert math.isclose(float(loss(embeddings, labels).detach()), slow, rel_tol=1e-5)


def test_a_batch_without_labels_costs_nothing() -> None:
    empty = torch.empty(0, 8)
    nothing = torch.empty(0, dtype=torch.int64)
    assert float(ArcFace(3, 8)(empty, nothing)) == 0.0
    assert float(SemanticLoss(3, 8)(empty, nothing)) == 0.0
