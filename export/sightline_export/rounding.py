"""Weights rounded so that the layer's output moves least, not each weight: what int8 loses here, it loses in weights.

Every weight is rounded in turn, and the weights of the same output that are still to come make up for the error, by the
covariance of the layer's inputs on real photographs (GPTQ: Frantar et al. 2022, section 3; Nagel et al. 2020 pose the
problem). The mean of what remains goes into the bias (Nagel et al. 2019, section 4.2). Several scales are tried for each
output, the best stays. The integers keep `quantize.py`'s promise: no two neighbours of one sign add up to more than 128.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from sightline_export.convert_onnx import INPUT, open_session
from sightline_export.progress import Progress

LEVELS = 127
# Two weights of one sign that a 16-bit adder may meet: 255 * 128 < 2 ** 15.
PAIR_LEVELS = 128
# Fewer inputs than this: the kernel may order them differently, so any two of them count as neighbours.
ANY_ORDER_INPUTS = 64
# An even number of inputs, so that a pair lies in one block.
BLOCK = 64
DAMPING = 0.01
SCALES = (1.0, 0.92, 0.84, 0.76, 0.68, 0.6)

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Weighted:
    """One convolution or matrix product of the graph, and where its numbers lie."""

    name: str
    operator: str
    source: str
    weight: str
    bias: str
    groups: int
    strides: tuple[int, int]
    pads: tuple[int, int, int, int]


@dataclass
class Moments:
    """Sums over all patches of a layer's input: `first` `(g, m)`, `second` `(g, m, m)` for g groups of m inputs."""

    first: Array
    second: Array
    count: int = 0

    def add(self, patches: NDArray[np.float32]) -> None:
        """Add patches `(g, p, m)`."""
        self.first += patches.sum(axis=1, dtype=np.float64)
        self.second += np.matmul(patches.transpose(0, 2, 1), patches)
        self.count += patches.shape[1]

    def mean_and_covariance(self) -> tuple[Array, Array]:
        mean = self.first / self.count
        return mean, self.second / self.count - mean[:, :, None] * mean[:, None, :]


@dataclass(frozen=True)
class Rounded:
    """A graph whose weights are whole multiples of their scales, and these scales `(outputs,)` by weight."""

    model: onnx.ModelProto
    scales: dict[str, Array]


def round_weights(
    model: onnx.ModelProto, pixels: NDArray[np.uint8], limits: dict[str, Array], progress: Progress | None = None
) -> Rounded:
    """Return the model with every weight rounded for its output, measured on `pixels` `(n, s, s, 3) uint8`.

    `limits` has, for each dense weight, the magnitudes `(outputs,)` that would be safe as they are (`pair_safe_limits`);
    a weight that is not in it has no pairs to fear.
    """
    progress = progress or Progress(quiet=True)
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    give_biases(copy)
    tensors = {tensor.name: tensor for tensor in copy.graph.initializer}
    layers = weighted_layers(copy)
    moments = input_moments(copy, layers, pixels, progress)
    scales: dict[str, Array] = {}
    for layer in progress.track(layers, "rounding"):
        weight = numpy_helper.to_array(tensors[layer.weight])
        mean, covariance = moments[layer.name].mean_and_covariance()
        rows = weight.reshape(len(mean), -1, mean.shape[1]).astype(np.float64)
        limit = limits.get(layer.weight)
        scale, whole = round_rows(rows, covariance, None if limit is None else limit.reshape(len(mean), -1))
        values = whole * scale[..., None]
        lost = ((rows - values) * mean[:, None, :]).sum(axis=2).reshape(-1)
        bias = numpy_helper.to_array(tensors[layer.bias]) + lost
        for name, array in ((layer.weight, values.reshape(weight.shape)), (layer.bias, bias)):
            tensors[name].CopyFrom(numpy_helper.from_array(array.astype(np.float32), name))
        scales[layer.weight] = scale.reshape(-1)
    return Rounded(copy, scales)


def give_biases(model: onnx.ModelProto) -> None:
    """Give every layer a bias of its own: the exporter drops zeros, and may share equal ones."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    taken: set[str] = set()
    for node in model.graph.node:
        if node.op_type not in ("Conv", "Gemm") or node.input[1] not in constants:
            continue
        there = node.input[2] if len(node.input) > 2 else ""
        if there not in constants or there in taken:
            weight = constants[node.input[1]]
            zeros = np.zeros(weight.dims[0], dtype=np.float32)
            values = numpy_helper.to_array(constants[there]) if there in constants else zeros
            name = bias_name(weight.name)
            model.graph.initializer.append(numpy_helper.from_array(values, name))
            del node.input[2:]
            node.input.append(name)
        taken.add(node.input[2])


def bias_name(weight: str) -> str:
    """Return the name of the bias that a layer is given."""
    return f"{weight.removesuffix('.weight')}.own_bias"


def weighted_layers(model: onnx.ModelProto) -> list[Weighted]:
    """Return the convolutions and matrix products that have a weight and a bias of their own, in graph order."""
    constants = {tensor.name for tensor in model.graph.initializer}
    found = []
    for node in model.graph.node:
        if node.op_type not in ("Conv", "Gemm") or len(node.input) < 3 or not constants.issuperset(node.input[1:3]):
            continue
        options = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
        if node.op_type == "Gemm" and not options.get("transB"):
            continue
        top, left, bottom, right = options.get("pads", [0, 0, 0, 0])
        down, across = options.get("strides", [1, 1])
        name = node.name or node.output[0]
        found.append(
            Weighted(
                name,
                node.op_type,
                source=node.input[0],
                weight=node.input[1],
                bias=node.input[2],
                groups=options.get("group", 1),
                strides=(down, across),
                pads=(top, left, bottom, right),
            )
        )
    return found


def input_moments(
    model: onnx.ModelProto, layers: Sequence[Weighted], pixels: NDArray[np.uint8], progress: Progress
) -> dict[str, Moments]:
    """Return the moments of every layer's inputs over the photographs, borders with their zeros included."""
    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    names = list(dict.fromkeys(layer.source for layer in layers))
    watched.graph.output.extend(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names)
    session = open_session(watched, threads=1)
    found: dict[str, Moments] = {}
    for layer in layers:
        inputs = int(np.prod(shapes[layer.weight][1:]))
        found[layer.name] = Moments(np.zeros((layer.groups, inputs)), np.zeros((layer.groups, inputs, inputs)))
    for picture in progress.track(list(pixels), "inputs of the layers"):
        values = dict(zip(names, session.run(names, {INPUT: picture[None]}), strict=True))
        for layer in layers:
            found[layer.name].add(patches_of(values[layer.source], shapes[layer.weight], layer))
    return found


def patches_of(x: NDArray[np.float32], shape: tuple[int, ...], layer: Weighted) -> NDArray[np.float32]:
    """Return what each output position sees `(groups, positions, inputs of a group)` of an input `(1, c, h, w)`."""
    if layer.operator == "Gemm":
        return x[None]
    channels, (height, width) = shape[1], shape[2:]
    top, left, bottom, right = layer.pads
    padded = np.pad(x[0], ((0, 0), (top, bottom), (left, right)))
    windows = sliding_window_view(padded, (height, width), axis=(1, 2))
    windows = windows[:, :: layer.strides[0], :: layer.strides[1]]
    grouped = windows.reshape(layer.groups, channels, -1, height * width)
    return np.ascontiguousarray(grouped.transpose(0, 2, 1, 3)).reshape(layer.groups, grouped.shape[2], -1)


def round_rows(rows: Array, covariance: Array, limits: Array | None) -> tuple[Array, Array]:
    """Return scales `(g, r)` and integers `(g, r, m)` for weights `(g, r, m)` whose inputs have `covariance` `(g, m, m)`.

    With `limits` `(g, r)` the integers keep the promise about pairs; among SCALES the one with the least output error wins.
    """
    largest = np.maximum(np.abs(rows).max(axis=2), 1e-6)
    start = largest if limits is None else np.maximum(limits, 1e-6)
    scales = np.stack([start * share / LEVELS for share in SCALES], axis=1)  # (g, s, r)
    tried = np.repeat(rows[:, None], len(SCALES), axis=1)
    groups, _, count, inputs = tried.shape
    factor = _factor(covariance)
    flat = compensated(tried.reshape(groups, -1, inputs), scales.reshape(groups, -1), factor, paired=limits is not None)
    whole = flat.reshape(tried.shape)
    left = (tried - whole * scales[..., None]).reshape(groups, -1, inputs)
    errors = ((left @ covariance) * left).sum(axis=2).reshape(scales.shape)
    best = errors.argmin(axis=1)[:, None]  # (g, 1, r)
    chosen = np.take_along_axis(whole, best[..., None], axis=1)
    return np.take_along_axis(scales, best, axis=1).reshape(groups, count), chosen.reshape(groups, count, inputs)


def compensated(rows: Array, scale: Array, factor: Array, *, paired: bool) -> Array:
    """Round `(g, r, m)` one input after the other, the later ones making up for each error; `factor` is of _factor.

    Inputs beyond the current block of BLOCK hear of its errors all at once: the same sums, in one matrix product.
    """
    rest = rows / scale[..., None]
    whole = np.zeros_like(rest)
    any_order = rest.shape[2] < ANY_ORDER_INPUTS
    high, low = np.zeros(rest.shape[:2]), np.zeros(rest.shape[:2])  # of the partner, or of all before
    for begin in range(0, rest.shape[2], BLOCK):
        block = rest[..., begin : begin + BLOCK].copy()
        width = block.shape[2]
        own = factor[:, begin : begin + width, begin : begin + width]
        errors = np.empty_like(block)
        for j in range(width):
            wanted = block[..., j]
            top: Array | float = LEVELS
            bottom: Array | float = -LEVELS
            if paired:
                if not any_order and j % 2 == 0:
                    high, low = np.zeros_like(high), np.zeros_like(low)
                    wanted = _share_with(wanted, block[..., j + 1]) if j + 1 < width else wanted
                top, bottom = np.minimum(LEVELS, PAIR_LEVELS - high), np.maximum(-LEVELS, -PAIR_LEVELS - low)
            chosen = np.clip(np.round(wanted), bottom, top)
            high, low = np.maximum(high, chosen), np.minimum(low, chosen)
            errors[..., j] = (block[..., j] - chosen) / own[:, None, j, j]
            block[..., j + 1 :] -= errors[..., j, None] * own[:, None, j, j + 1 :]
            whole[..., begin + j] = chosen
        rest[..., begin + width :] -= errors @ factor[:, begin : begin + width, begin + width :]
    return whole


def _share_with(first: Array, second: Array) -> Array:
    """Return `first` less its half of what the two exceed the limit by, where they have one sign."""
    same = first * second > 0
    excess = np.maximum(np.abs(first + second) - PAIR_LEVELS, 0) * same
    shared: Array = first - np.sign(first) * np.minimum(excess / 2, np.abs(first))
    return shared


def _factor(covariance: Array) -> Array:
    """Return the upper Cholesky factor of the damped inverse `(g, m, m)`; an input that never varies costs nothing.

    Where inputs hardly vary, the sums' rounding errors are what is left and may have negative eigenvalues: then the
    damping grows until they are gone, and the rounding comes closer to that to the nearest.
    """
    level = np.maximum(np.einsum("gii->gi", covariance).mean(axis=1), 1e-12)
    symmetric = (covariance + covariance.transpose(0, 2, 1)) / 2
    least = np.linalg.eigvalsh(symmetric)[:, 0]
    damping = DAMPING * level + np.maximum(-2 * least, 0)
    inverse = np.linalg.inv(symmetric + damping[:, None, None] * np.eye(covariance.shape[1]))
    inverse = (inverse + inverse.transpose(0, 2, 1)) / 2
    return np.asarray(np.linalg.cholesky(inverse).transpose(0, 2, 1), dtype=np.float64)
