"""Weights rounded for the output: better than to the nearest, and never two neighbours that saturate."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from onnx import numpy_helper
from torch import nn
from torch.nn import functional

from sightline_export.convert_onnx import INPUT, open_session, to_onnx
from sightline_export.progress import Progress
from sightline_export.quantize import pair_safe_limits
from sightline_export.rounding import _factor, compensated, input_moments, round_rows, round_weights, weighted_layers

SIZE = 12


class Small(nn.Module):
    """Strided, padded, depthwise and pointwise convolutions and a linear layer, on (n, s, s, 3) uint8."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.deep = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.last = nn.Linear(8, 4)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        x = functional.relu6(self.first(pixels.permute(0, 3, 1, 2).float() / 64))
        return self.last(functional.relu6(self.deep(x)).mean(dim=(2, 3)))


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (6, SIZE, SIZE, 3), dtype=np.uint8)


def correlated(inputs: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Weights (1, 5, m) and samples (p, m) whose inputs go together, as neighbours in a picture do."""
    rng = np.random.default_rng(seed)
    samples = rng.standard_normal((400, 4)) @ rng.standard_normal((4, inputs)) + 0.1 * rng.standard_normal(
        (400, inputs)
    )
    return rng.standard_normal((1, 5, inputs)), samples


def test_moments_are_those_of_every_patch_with_its_zeros(pixels: np.ndarray) -> None:
    model = Small()
    graph = to_onnx(model, SIZE, "out")
    layers = weighted_layers(graph)
    assert [layer.groups for layer in layers] == [1, 8, 1]
    found = input_moments(graph, layers, pixels, Progress(quiet=True))
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 64
    seen = functional.unfold(x, 3, padding=1, stride=2).permute(0, 2, 1).reshape(-1, 27).numpy()
    mean, covariance = found[layers[0].name].mean_and_covariance()
    assert np.allclose(mean[0], seen.mean(axis=0), rtol=1e-4)
    assert np.allclose(covariance[0], np.cov(seen.T, bias=True), rtol=1e-3, atol=1e-3)
    with torch.no_grad():
        inner = functional.relu6(model.first(x))
    one = functional.unfold(inner[:, 3:4], 3, padding=1).permute(0, 2, 1).reshape(-1, 9).numpy()
    mean, covariance = found[layers[1].name].mean_and_covariance()
    assert np.allclose(mean[3], one.mean(axis=0), atol=1e-4)
    assert np.allclose(covariance[3], np.cov(one.T, bias=True), atol=1e-3)


@pytest.mark.parametrize("inputs", [30, 96, 97])
def test_the_output_moves_less_than_by_nearest_rounding_and_pairs_are_safe(inputs: int) -> None:
    rows, samples = correlated(inputs)
    covariance = np.cov(samples.T, bias=True)[None]
    limits = pair_safe_limits(rows[0].astype(np.float32))[None]
    scale, whole = round_rows(rows, covariance, limits)
    assert np.array_equal(whole, np.round(whole)) and np.abs(whole).max() <= 127
    centred = samples - samples.mean(axis=0)
    nearest = np.round(rows / (limits / 127)[..., None]) * (limits / 127)[..., None]
    before = ((centred @ (rows - nearest)[0].T) ** 2).mean(axis=0)
    after = ((centred @ (rows - whole * scale[..., None])[0].T) ** 2).mean(axis=0)
    assert (after < before).all() and after.mean() < 0.4 * before.mean()
    for signed in (np.maximum(whole[0], 0), np.maximum(-whole[0], 0)):
        if inputs < 64:
            assert np.sort(signed, axis=1)[:, -2:].sum(axis=1).max() <= 128
        else:
            even = np.pad(signed, ((0, 0), (0, inputs % 2)))
            assert even.reshape(5, -1, 2).sum(axis=2).max() <= 128


def test_blocks_give_what_one_weight_after_the_other_gives() -> None:
    rows, samples = correlated(150)
    factor, scale = _factor(np.cov(samples.T, bias=True)[None]), np.full((1, 5), 0.03)
    got = compensated(rows, scale, factor, paired=False)[0]
    u = factor[0]
    for row, whole in zip(rows[0], got, strict=True):
        rest = row / 0.03
        for j in range(150):
            chosen = np.clip(np.round(rest[j]), -127, 127)
            assert chosen == whole[j]
            rest[j + 1 :] -= (rest[j] - chosen) / u[j, j] * u[j, j + 1 :]


def test_two_large_neighbours_share_the_limit() -> None:
    rows = np.zeros((1, 1, 64))
    rows[0, 0, :4] = (1.0, 0.9, -1.0, -0.9)
    whole = compensated(rows, np.array([[1 / 127]]), _factor(np.eye(64)[None]), paired=True)[0, 0]
    assert whole[0] + whole[1] == 128 and abs(whole[0] - 127 * 0.95 + 50) < 8
    assert whole[2] + whole[3] == -128
    free = compensated(rows, np.array([[1 / 127]]), _factor(np.eye(64)[None]), paired=False)[0, 0]
    assert free[:4].tolist() == [127, 114, -127, -114]


def test_inputs_that_never_vary_do_no_harm() -> None:
    rows, samples = correlated(70)
    samples[:, 10:20] = 0.0
    scale, whole = round_rows(rows, np.cov(samples.T, bias=True)[None], None)
    assert np.isfinite(scale).all() and np.isfinite(whole).all()
    noise = np.random.default_rng(1).standard_normal((1, 70, 70)) * 1e-7
    noise[0] -= 3e-7 * np.eye(70)  # what cancellation leaves of a covariance: not even positive
    scale, whole = round_rows(rows, noise, None)
    assert np.isfinite(scale).all() and np.abs(whole).max() <= 127
    _, still = round_rows(rows, np.zeros((1, 70, 70)), None)
    assert np.abs(still).max() <= 127


def test_the_rounded_graph_keeps_the_mean_of_every_output(pixels: np.ndarray) -> None:
    model = Small()
    graph = to_onnx(model, SIZE, "out")
    rounded = round_weights(graph, pixels, {})
    tensors = {tensor.name: tensor for tensor in rounded.model.graph.initializer}
    first = weighted_layers(graph)[0]
    weight = numpy_helper.to_array(tensors[first.weight]).astype(np.float64)
    steps = weight.reshape(8, -1) / rounded.scales[first.weight][:, None]
    assert np.abs(steps - np.round(steps)).max() < 1e-3
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 64
    with torch.no_grad():
        before = model.first(x).mean(dim=(0, 2, 3)).numpy()
        bias = torch.from_numpy(numpy_helper.to_array(tensors[first.bias]).copy())
        after = functional.conv2d(x, torch.from_numpy(weight).float(), bias, stride=2, padding=1).mean(dim=(0, 2, 3))
    assert np.abs(after.numpy() - before).max() < 1e-5
    a, b = (open_session(g).run(None, {INPUT: pixels})[0] for g in (graph, rounded.model))
    assert 0 < np.abs(a - b).max() < 0.02
