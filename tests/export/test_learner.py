"""The learner: every loss that the recipe weighs is there, the frozen part stays, and both ways of feeding it agree."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sightline_export import recipe as recipes
from sightline_export.batches import AugmentedBatches, Sampler, TrainingSet
from sightline_export.convert_onnx import to_onnx
from sightline_export.distill import check_device
from sightline_export.learner import Learner, learning_rate_factor
from sightline_export.recipe import Recipe
from sightline_export.student import Lower, Student, new_student
from sightline_shared.errors import ConfigInvalid

SIZE, DIM = 64, 32


@pytest.fixture
def data(draw: Callable[..., Image.Image]) -> TrainingSet:
    rng = np.random.default_rng(0)
    items = np.array([0, 0, 0, 1, 1, 1, 2, 2, -1, -1])
    targets = rng.normal(size=(300, DIM)).astype(np.float32)  # enough for anchors
    targets /= np.linalg.norm(targets, axis=1, keepdims=True)
    items = np.tile(items, 30)
    return TrainingSet(
        images=[draw(max(0, int(item)), row) for row, item in enumerate(items[:10])] * 30,
        targets=targets,
        items=items,
        categories=np.minimum(items, 1),
        groups=np.where(items < 0, 1, 0),
        outside=items < 0,
        studio=np.zeros(300, dtype=bool),
        views=np.zeros(300, dtype=bool),
    )


def settings(**loss: float) -> Recipe:
    return Recipe(
        name="drawn",
        source=(),
        student=recipes.Student(size=SIZE, dimension=DIM, frozen_blocks=12),
        training=recipes.Training(batch=8, workers=0),
        loss=recipes.Loss(structure_subspaces=4, **loss),
    )


@pytest.fixture
def student(random_weights: Path) -> Student:
    torch.manual_seed(0)
    return new_student(settings().student, random_weights)


def batch_of(data: TrainingSet, lower: bytes | None) -> tuple[torch.Tensor, torch.Tensor]:
    sampler = Sampler(data, recipes.Training(batch=8), recipes.Batches())
    return AugmentedBatches(data, sampler, lower, SIZE, recipes.Strength(), 1, 2)[0]


def test_every_loss_with_a_weight_takes_part_and_the_student_learns(data: TrainingSet, student: Student) -> None:
    recipe = settings(relational=0.5, structure=0.5)
    learner = Learner(student, data, recipe, 8, old_centres=data.targets[:3])
    frozen = {key: value.clone() for key, value in student.backbone.blocks[:12].state_dict().items()}
    batch, rows = batch_of(data, None)
    history = [learner.learn(1, batch, rows) for _ in range(8)]
    names = {"teacher", "gallery", "relational", "structure", "instance", "semantic", "influence"}
    assert names | {"total"} == set(history[0])
    expected = sum(getattr(recipe.loss, name) * history[0][name] for name in names - {"influence"})
    expected += recipe.compatibility.weight * history[0]["influence"]
    assert history[0]["total"] == pytest.approx(expected, rel=1e-4)
    assert history[-1]["total"] < history[0]["total"]
    assert all(torch.equal(value, frozen[key]) for key, value in student.backbone.blocks[:12].state_dict().items())


def test_a_loss_without_a_weight_is_not_computed(data: TrainingSet, student: Student) -> None:
    learner = Learner(student, data, settings(gallery=0.0, instance=0.0), 8)
    assert set(learner.learn(0, *batch_of(data, None))) == {"total", "teacher", "semantic"}


def test_pixels_and_what_the_frozen_blocks_made_of_them_teach_the_same(data: TrainingSet, student: Student) -> None:
    lower = to_onnx(Lower(student), SIZE, "lower").SerializeToString()
    both = [Learner(student, data, settings(), 8)._lowered(batch_of(data, file)[0]) for file in (None, lower)]
    assert torch.allclose(both[0], both[1], atol=1e-3)


def test_the_attack_makes_the_teacher_loss_worse(data: TrainingSet, student: Student) -> None:
    recipe = settings()
    recipe = dataclasses.replace(recipe, augment=recipes.Strength(adversarial=3.0))
    with torch.no_grad():  # random weights hardly see a small change: let the head speak up
        student.head.weight.mul_(50)
        student.head.bias.zero_()
    learner = Learner(student, data, recipe, 8)
    batch, rows = batch_of(data, None)
    lowered = learner._lowered(batch)
    attacked = learner._attacked(lowered, rows)
    assert float((attacked - lowered).abs().max()) == pytest.approx(3.0 * float(lowered.std()), rel=1e-3)
    with torch.no_grad():
        calm, against, along = (
            float(learner.losses(student.from_lower(x), rows)["teacher"])
            for x in (lowered, attacked, 2 * lowered - attacked)
        )
    assert against > max(calm, along)


def test_the_learning_rate_warms_up_and_falls_to_zero() -> None:
    factors = [learning_rate_factor(step, 100) for step in range(100)]
    assert factors[0] == pytest.approx(0.2) and max(factors) == factors[5] == 1.0
    assert factors[-1] < 0.01 and factors[5:] == sorted(factors[5:], reverse=True)


def test_a_device_that_is_not_there_is_refused() -> None:
    assert check_device("cpu") == "cpu"
    if not torch.cuda.is_available():
        with pytest.raises(ConfigInvalid, match="cuda"):
            check_device("cuda")
