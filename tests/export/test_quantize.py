"""int8: near the float model, and the same on hardware that adds in 16 bits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from PIL import Image

from sightline_export import recipe as recipes
from sightline_export.convert_onnx import INPUT, OUTPUT, open_session, run_rows, to_float16_weights, to_onnx
from sightline_export.quantize import emulated_session, pair_safe_limits, quantize
from sightline_export.student import folded, new_student, ridge_head
from sightline_shared.errors import RecipeInvalid

BILINEAR = Image.Resampling.BILINEAR
SIZE = 64


@pytest.fixture(scope="module")
def model(random_weights: Path) -> onnx.ModelProto:
    student = new_student(recipes.Student(size=SIZE, dimension=32), random_weights)
    torch.manual_seed(0)
    for module in student.modules():  # as drawn, the signal dies on its way and every picture gets one embedding
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
    rng = np.random.default_rng(0)
    targets = rng.standard_normal((64, 32)).astype(np.float32)
    ridge_head(student, rng.random((64, 1280), dtype=np.float32), targets / np.linalg.norm(targets, axis=1)[:, None])
    return to_onnx(folded(student), SIZE)


@pytest.fixture
def pixels(draw: Callable[..., Image.Image]) -> np.ndarray:
    # Resized here: what int8 costs on random weights must not depend on the pixel specification.
    return np.stack([np.asarray(draw(view % 4, view).resize((SIZE, SIZE), BILINEAR)) for view in range(16)])


def test_the_limit_is_the_largest_pair_of_neighbours_with_one_sign() -> None:
    row = np.zeros((3, 64), np.float32)
    row[0, 2:4] = (1.0, 0.5)  # neighbours
    row[1, 3:5] = (1.0, 0.5)  # not in one pair
    row[2, 2:4] = (1.0, -0.5)  # of different signs
    assert np.allclose(pair_safe_limits(row), [1.5, 1.0, 1.0])
    assert np.allclose(pair_safe_limits(row[:, :27] * [[1], [1], [0]])[1:], [1.5, 1e-6])


def test_no_pair_of_quantized_weights_can_saturate(model: onnx.ModelProto, pixels: np.ndarray) -> None:
    quantized = quantize(model, pixels)
    dense = [numpy_helper.to_array(t) for t in quantized.graph.initializer if t.data_type == onnx.TensorProto.INT8]
    dense = [w.reshape(len(w), -1).astype(int) for w in dense if w.ndim > 1 and not (w.ndim == 4 and w.shape[1] == 1)]
    worst = max(int(np.abs(w[:, : w.shape[1] // 2 * 2].reshape(len(w), -1, 2).sum(axis=2)).max()) for w in dense)
    assert len(dense) > 25 and 0 < worst <= 128

    data = quantized.SerializeToString()
    integer, floats = run_rows(open_session(data), pixels), run_rows(open_session(model), pixels)
    assert np.allclose(np.linalg.norm(integer, axis=1), 1, atol=1e-4)
    assert (integer * floats).sum(axis=1).mean() > 0.9
    nearest = run_rows(open_session(quantize(model, pixels, rounding="nearest")), pixels)
    assert 1 - (integer * floats).sum(axis=1).mean() < 0.8 * (1 - (nearest * floats).sum(axis=1).mean())
    emulated = emulated_session(data).run(None, {INPUT: pixels})[0]
    assert (integer * emulated).sum(axis=1).min() > 0.98
    assert len(data) < 0.35 * model.ByteSize()


def test_the_graph_takes_uint8_of_any_batch_and_carries_no_paths(model: onnx.ModelProto, pixels: np.ndarray) -> None:
    (given,), (made,) = model.graph.input, model.graph.output
    assert given.name == INPUT and given.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert made.name == OUTPUT
    session = open_session(model)
    assert np.allclose(session.run(None, {INPUT: pixels})[0], run_rows(session, pixels), atol=1e-5)
    assert str(Path.cwd()).encode() not in model.SerializeToString() and b".py" not in model.SerializeToString()


def test_float16_weights_are_half_the_size_and_compute_in_float32(model: onnx.ModelProto, pixels: np.ndarray) -> None:
    half = to_float16_weights(model)
    assert half.ByteSize() < 0.55 * model.ByteSize()
    a, b = run_rows(open_session(half), pixels), run_rows(open_session(model), pixels)
    assert a.dtype == np.float32 and (a * b).sum(axis=1).min() > 0.999


def test_an_unknown_rounding_is_refused(model: onnx.ModelProto, pixels: np.ndarray) -> None:
    with pytest.raises(RecipeInvalid, match="compensated"):
        quantize(model, pixels, rounding="up")
