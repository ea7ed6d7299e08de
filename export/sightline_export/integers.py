"""The int8 student's integers, taken back out of its ONNX file: every other int8 file of the student is made of them.

Which integers stand for a layer's weights was decided once, with compensation on real photographs (`quantize`). Rounding
the trained weights a second time, by a second tool's rule, would give a second student; so TFLite gets these.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import nn

from sightline_export.student import Student
from sightline_shared.errors import RuntimeFailed

LAYERS = ("Conv", "Gemm")


@dataclass(frozen=True)
class IntegerLayer:
    """One layer's `values` `(outputs, ...) int8`, `scales` `(outputs,) float32`, `bias` `(outputs,) float32`."""

    values: NDArray[np.int8]
    scales: NDArray[np.float32]
    bias: NDArray[np.float32]

    @property
    def weight(self) -> NDArray[np.float32]:
        """The float weights that the integers stand for."""
        return self.values.astype(np.float32) * self.scales.reshape(-1, *[1] * (self.values.ndim - 1))


def read_integers(model: bytes) -> list[IntegerLayer]:
    """Return the layers of a QDQ model in running order; raises RuntimeFailed when a layer is not int8 per output."""
    graph = onnx.load_from_string(model).graph
    makers = {output: node for node in graph.node for output in node.output}
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    found = []
    for node in graph.node:
        if node.op_type not in LAYERS:
            continue
        parts = []
        for name in node.input[1:3]:
            maker = makers.get(name)
            if maker is None or maker.op_type != "DequantizeLinear":
                raise RuntimeFailed(
                    f"int8 student: expected quantized weights and bias in '{node.name}', got '{name}'."
                )
            parts.append([tensors[tensor] for tensor in maker.input])
        (values, scales, zeros), (bias, bias_scales, _) = parts
        if values.dtype != np.int8 or scales.shape != (len(values),) or zeros.any():
            raise RuntimeFailed(
                f"int8 student: expected symmetric int8 weights, one scale an output, in '{node.name}', got "
                f"{values.dtype} with scales {scales.shape}."
            )
        found.append(IntegerLayer(values, scales, (bias * bias_scales.astype(np.float64)).astype(np.float32)))
    return found


def with_integers(student: Student, layers: Sequence[IntegerLayer], size: int) -> Student:
    """Return a copy of the folded student whose weights and biases are those that the integers stand for."""
    twin = copy.deepcopy(student)
    modules = running_layers(twin, size)
    if [tuple(module.weight.shape) for module in modules.values()] != [layer.values.shape for layer in layers]:
        raise RuntimeFailed(f"int8 student: expected {len(modules)} layers of the student's shapes, got {len(layers)}.")
    with torch.no_grad():
        for module, layer in zip(modules.values(), layers, strict=True):
            assert module.bias is not None  # a folded student has a bias in every layer
            module.weight.copy_(torch.from_numpy(layer.weight))
            module.bias.copy_(torch.from_numpy(layer.bias))
    return twin


def running_layers(student: nn.Module, size: int) -> dict[str, nn.Conv2d | nn.Linear]:
    """Return the convolutions and linear layers by name, in the order in which they run."""
    order: list[str] = []
    layers = {name: module for name, module in student.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)}
    hooks = [module.register_forward_hook(lambda *_, name=name: order.append(name)) for name, module in layers.items()]
    with torch.inference_mode():
        student(torch.zeros((1, size, size, 3), dtype=torch.uint8))
    for hook in hooks:
        hook.remove()
    return {name: layers[name] for name in order}
