"""Quantization-aware fine-tuning: its rounding is int8's, its gradients pass, and it learns what it is for."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.lively import lively_student

from sightline_export import recipe as recipes
from sightline_export.augment import augment
from sightline_export.convert_onnx import open_session, run_rows, to_onnx
from sightline_export.int8 import misses
from sightline_export.layer_errors import cosines
from sightline_export.qat import RoundedActivation, RoundedWeight, Rounding, fine_tune, weight_limits
from sightline_export.quantize import pair_safe_limits
from sightline_export.recipe import Qat, Strength
from sightline_export.student import Student

SIZE = 32
STRENGTH = Strength(blur=0, noise=0, jpeg=0)


@pytest.fixture(scope="module")
def student() -> Student:
    return lively_student(4)


@pytest.fixture
def images(draw: Callable[..., Image.Image]) -> list[Image.Image]:
    return [draw(view % 4, view) for view in range(12)]


@pytest.fixture
def pixels(images: list[Image.Image]) -> np.ndarray:
    return np.stack([np.asarray(image.resize((SIZE, SIZE))) for image in images])


def test_weights_lie_on_the_grid_of_their_row_and_the_gradient_passes() -> None:
    weight = torch.randn(6, 4, 3, 3, requires_grad=True)
    limits = torch.linspace(1, 3, 6)
    rounded = RoundedWeight(limits)(weight)
    for row, limit in enumerate(limits.tolist()):
        steps = rounded[row].detach().numpy() * 127 / limit
        assert np.allclose(steps, np.round(steps), atol=1e-3) and np.abs(steps).max() <= 127.001
    rounded.sum().backward()
    assert weight.grad is not None and torch.equal(weight.grad, torch.ones_like(weight))


def test_activations_are_rounded_as_onnx_runtime_does() -> None:
    hook = RoundedActivation()
    hook.apply(torch.tensor([-1.0, 3.0]))
    hook.fixed = True
    got = hook.apply(torch.tensor([-5.0, -1.0, 0.0, 0.013, 2.99, 9.0])).numpy()
    scale = 4 / 255
    expected = [(min(255, max(0, round(x / scale) + 64)) - 64) * scale for x in (-5.0, -1.0, 0.0, 0.013, 2.99, 9.0)]
    assert np.allclose(got, expected, atol=1e-6) and got[2] == 0


def test_limits_are_pair_safe_except_for_depthwise_layers(student: Student) -> None:
    block = student.backbone.blocks[1]
    dense = block.project.conv
    assert np.allclose(weight_limits(dense), pair_safe_limits(dense.weight.detach().numpy().reshape(24, -1)))
    assert torch.allclose(weight_limits(block.dw.conv), block.dw.conv.weight.abs().amax(dim=(1, 2, 3)))


def test_it_comes_nearer_to_the_float_student_under_the_rounding(
    student: Student, images: list[Image.Image], pixels: np.ndarray
) -> None:
    before = {key: value.clone() for key, value in student.state_dict().items()}
    settings = Qat(steps=60, batch=8, learning_rate=1e-4)
    tuned, losses = fine_tune(student, images, pixels, settings, STRENGTH, seed=0)
    assert np.mean(losses[-10:]) < np.mean(losses[:10])
    assert all(torch.equal(value, before[key]) for key, value in student.state_dict().items())
    assert set(tuned.state_dict()) == set(before)
    rng = np.random.default_rng(99)
    views = torch.from_numpy(np.stack([augment(images[turn % 12], SIZE, rng, STRENGTH) for turn in range(64)]))
    floats = student(views).detach().numpy()
    likeness = []
    for model in (copy.deepcopy(student), tuned):
        Rounding(model, pixels)
        likeness.append(cosines(floats, model(views).detach().numpy()).mean())
    assert likeness[1] > likeness[0]


def test_taken_out_again_it_leaves_the_float_weights(student: Student, pixels: np.ndarray, tmp_path: Path) -> None:
    twin = copy.deepcopy(student)
    rounding = Rounding(twin, pixels)
    with torch.inference_mode():
        rough = twin(torch.from_numpy(pixels))
    rounding.remove()
    with torch.inference_mode():
        assert torch.equal(twin(torch.from_numpy(pixels)), student(torch.from_numpy(pixels)))
        assert not torch.equal(rough, twin(torch.from_numpy(pixels)))
    assert run_rows(open_session(to_onnx(twin, SIZE)), pixels).shape == (12, 16)


@pytest.mark.parametrize(
    ("values", "missed"), [([0.99] * 50, True), ([0.999] * 99 + [0.96], True), ([0.998] * 50, False)]
)
def test_the_bars_decide_whether_it_is_needed(values: list[float], missed: bool) -> None:
    assert misses(np.array(values), recipes.Qat()) is missed
