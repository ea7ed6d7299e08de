"""The layer report finds the layer that does the harm, also when a test breaks one on purpose."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn
from torch.nn import functional

from sightline_export.convert_onnx import INPUT, open_session, to_onnx
from sightline_export.layer_errors import layer_errors, output_errors
from sightline_export.mixed_graph import activations, dequantized_constants, mixed, quantized_layers
from sightline_export.quantize import emulated_session, quantize
from sightline_shared.errors import RecipeInvalid

SIZE = 24


class Net(nn.Module):
    """A stem, a residual depthwise block and a head: every kind of quantized layer once."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.stem = nn.Conv2d(3, 16, 3, stride=2, padding=1)
        self.deep = nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.project = nn.Conv2d(16, 16, 1)
        self.head = nn.Linear(16, 12)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        x = functional.relu6(self.stem(pixels.permute(0, 3, 1, 2).float() / 64 - 2))
        x = x + self.project(functional.relu6(self.deep(x)))
        return functional.normalize(self.head(x.mean(dim=(2, 3))))


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (12, 4, 4, 3), dtype=np.uint8)
    return coarse.repeat(SIZE // 4, axis=1).repeat(SIZE // 4, axis=2)


@pytest.fixture(scope="module")
def float_model() -> onnx.ModelProto:
    return to_onnx(Net(), SIZE)


@pytest.fixture(scope="module")
def int8_model(float_model: onnx.ModelProto, pixels: np.ndarray) -> onnx.ModelProto:
    return quantize(float_model, pixels)


def test_every_layer_is_listed_once_with_relu6_inside_its_convolution(
    float_model: onnx.ModelProto, int8_model: onnx.ModelProto
) -> None:
    layers = quantized_layers(float_model, int8_model)
    names = [layer.name for layer in layers]
    assert [name for name in names if "." not in name] == ["stem", "deep", "project", "head"]
    assert "project.add" in names and len(set(names)) == len(names)
    clips = {node.output[0] for node in float_model.graph.node if node.op_type == "Clip"}
    assert {layer.output for layer in layers if layer.name in ("stem", "deep")} <= clips
    assert {layer.output for layer in layers} == set(activations(int8_model))


def test_a_mixed_graph_with_all_layers_is_the_file_and_with_none_the_float_model(
    float_model: onnx.ModelProto, int8_model: onnx.ModelProto, pixels: np.ndarray
) -> None:
    layers = quantized_layers(float_model, int8_model)
    exact = emulated_session(int8_model.SerializeToString()).run(None, {INPUT: pixels})[0]
    whole = emulated_session(mixed(float_model, int8_model, layers).SerializeToString()).run(None, {INPUT: pixels})[0]
    floats = open_session(float_model).run(None, {INPUT: pixels})[0]
    none = open_session(mixed(float_model, int8_model, [])).run(None, {INPUT: pixels})[0]
    assert np.array_equal(floats, none)
    assert np.abs(exact - whole).mean() < 0.1 * np.abs(exact - floats).mean()


def test_the_output_errors_are_the_formula(
    float_model: onnx.ModelProto, int8_model: onnx.ModelProto, pixels: np.ndarray
) -> None:
    (stem,) = [layer for layer in quantized_layers(float_model, int8_model) if layer.name == "stem"]
    ((sqnr, cosine),) = output_errors(float_model, int8_model, [stem], pixels)
    constants = dequantized_constants(int8_model)
    place = activations(int8_model)[stem.output]
    numbers = {t.name: numpy_helper.to_array(t) for t in int8_model.graph.initializer}
    scale, zero = float(numbers[place.scale]), int(numbers[place.zero_point])
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 64 - 2
    net = Net()
    with torch.no_grad():
        true = functional.relu6(net.stem(x)).numpy().astype(np.float64)
        weight, bias = (torch.from_numpy(constants[name]) for name in (stem.weight, stem.bias))
        rough = functional.relu6(functional.conv2d(x, weight, bias, stride=2, padding=1)).numpy()
    rough = (np.clip(np.round(rough / scale) + zero, 0, 255) - zero) * scale
    assert sqnr == pytest.approx(10 * np.log10((true**2).sum() / ((true - rough) ** 2).sum()), abs=0.05)
    flat = [(a.ravel(), b.ravel()) for a, b in zip(true, rough, strict=True)]
    expected = np.mean([a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in flat])
    assert cosine == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("layer", ["deep", "head"])
def test_a_sabotaged_weight_is_named(
    float_model: onnx.ModelProto, int8_model: onnx.ModelProto, pixels: np.ndarray, layer: str, tmp_path: Path
) -> None:
    before = layer_errors(float_model, int8_model, pixels)
    broken = onnx.ModelProto()
    broken.CopyFrom(int8_model)
    for tensor in broken.graph.initializer:
        if tensor.name == f"{layer}.weight_scale":
            scales = numpy_helper.to_array(tensor).copy()
            scales[::2] *= 1.7
            tensor.CopyFrom(numpy_helper.from_array(scales, tensor.name))
    report = layer_errors(float_model, broken, pixels)
    assert report.guilty.name == layer and layer in report.message()
    assert report.guilty.harm > 5 * max(error.harm for error in before.layers)
    assert report.guilty.kept_cosine > report.whole.mean() + 0.5 * report.guilty.harm
    harms = [error.harm for error in report.layers]
    assert harms == sorted(harms, reverse=True)
    report.write(tmp_path / "layers.json", "drawn squares")
    body = json.loads((tmp_path / "layers.json").read_text())
    assert body["guilty"] == layer and body["photographs"] == len(pixels)
    assert body["layers"][0]["relative_error"] == pytest.approx(10 ** (-body["layers"][0]["sqnr_db"] / 20), rel=1e-3)
    assert set(report.figures("x")) >= {"int8.layers_cosine_mean", "int8.guilty_layer_kept_cosine"}


def test_a_sabotaged_range_is_named(
    float_model: onnx.ModelProto, int8_model: onnx.ModelProto, pixels: np.ndarray
) -> None:
    (stem,) = [layer for layer in quantized_layers(float_model, int8_model) if layer.name == "stem"]
    broken = onnx.ModelProto()
    broken.CopyFrom(int8_model)
    for tensor in broken.graph.initializer:
        if tensor.name == activations(int8_model)[stem.output].scale:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) / np.float32(4), tensor.name))
    report = layer_errors(float_model, broken, pixels)
    assert report.guilty.name == "stem" and report.guilty.sqnr_db < 12


def test_a_stranger_is_refused(float_model: onnx.ModelProto, pixels: np.ndarray) -> None:
    with pytest.raises(RecipeInvalid, match="QDQ"):
        layer_errors(float_model, float_model, pixels)
