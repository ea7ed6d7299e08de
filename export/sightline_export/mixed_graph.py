"""Which layers of an int8 file are quantized, and float graphs in which only chosen ones are.

The int8 file is ONNX Runtime's QDQ form: a layer's weight stands behind a DequantizeLinear, its output between a
QuantizeLinear and a DequantizeLinear. A mixed graph is the float graph with the int8 file's own numbers put into the
chosen layers, so that what it computes is what the file does there, and nothing else.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from sightline_export.rounding import bias_name
from sightline_shared.errors import RecipeInvalid


@dataclass(frozen=True)
class Layer:
    """One quantized layer: its name, the float graph's tensor that it ends in, and its weight and bias ("" for none)."""

    name: str
    operator: str
    output: str
    weight: str = ""
    bias: str = ""


@dataclass(frozen=True)
class Activation:
    """How one tensor is quantized: the names of the file's scale, zero point and dequantized tensor."""

    scale: str
    zero_point: str
    dequantized: str


def activations(int8: onnx.ModelProto) -> dict[str, Activation]:
    """Return the quantized activations by the name that they have in the float graph."""
    made = {node.input[0]: node.output[0] for node in int8.graph.node if node.op_type == "DequantizeLinear"}
    return {
        node.input[0]: Activation(node.input[1], node.input[2], made[node.output[0]])
        for node in int8.graph.node
        if node.op_type == "QuantizeLinear"
    }


def dequantized_constants(int8: onnx.ModelProto) -> dict[str, NDArray[np.float32]]:
    """Return what the file's weights and biases stand for, by their names in the float graph."""
    tensors = {tensor.name: tensor for tensor in int8.graph.initializer}
    result: dict[str, NDArray[np.float32]] = {}
    for node in int8.graph.node:
        if node.op_type != "DequantizeLinear" or node.input[0] not in tensors:
            continue
        values, scale, zero = (numpy_helper.to_array(tensors[name]).astype(np.float32) for name in node.input)
        axes = [item.i for item in node.attribute if item.name == "axis"] or [1]
        if scale.ndim and scale.size > 1:
            shape = [1] * values.ndim
            shape[axes[0]] = -1
            scale, zero = scale.reshape(shape), zero.reshape(shape)
        result[node.input[0].removesuffix("_quantized")] = ((values - zero) * scale).astype(np.float32)
    return result


def quantized_layers(model: onnx.ModelProto, int8: onnx.ModelProto) -> list[Layer]:
    """Return the quantized layers in the order in which they are computed; raises RecipeInvalid when there are none."""
    quantized, constants = activations(int8), dequantized_constants(int8)
    after = {node.input[0]: node.output[0] for node in model.graph.node if node.op_type == "Clip"}
    found: list[Layer] = []
    made_by: dict[str, str] = {}
    for node in model.graph.node:
        output = node.output[0]
        if len(node.input) > 1 and node.input[1] in constants:
            # ReLU6 belongs to the convolution before it: one range, one kernel.
            end = output if output in quantized else after.get(output, output)
            bias = bias_name(node.input[1])
            if bias not in constants:
                bias = node.input[2] if len(node.input) > 2 else ""
            found.append(Layer(node.input[1].removesuffix(".weight"), node.op_type, end, node.input[1], bias))
            made_by[output] = made_by[end] = found[-1].name
        elif output in quantized and output not in made_by:
            before = [made_by[name] for name in node.input if name in made_by]
            owner = before[-1].rpartition(".project")[0] or before[-1] if before else "input"
            found.append(Layer(f"{owner}.{node.op_type.lower()}", node.op_type, output))
            made_by[output] = found[-1].name
    if not found:
        raise RecipeInvalid("int8 model: expected the QDQ form of this float model, got no layer in common.")
    return found


def mixed(model: onnx.ModelProto, int8: onnx.ModelProto, layers: Collection[Layer]) -> onnx.ModelProto:
    """Return the float graph with `layers` quantized as the int8 file has them: weight, bias and output."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph, constants, quantized = copy.graph, dequantized_constants(int8), activations(int8)
    wanted = {name for layer in layers for name in (layer.weight, layer.bias) if name in constants}
    for tensor in graph.initializer:
        if tensor.name in wanted:
            tensor.CopyFrom(numpy_helper.from_array(constants[tensor.name], tensor.name))
    _replace_biases(graph, constants, {layer.weight: layer.bias for layer in layers if layer.weight})
    outputs = [layer.output for layer in layers if layer.output in quantized]
    _round_outputs(graph, int8, {name: quantized[name] for name in outputs})
    onnx.checker.check_model(copy)
    return copy


def _replace_biases(graph: onnx.GraphProto, constants: dict[str, NDArray[np.float32]], biases: dict[str, str]) -> None:
    """Point layers at a bias that only the int8 file has."""
    there = {tensor.name for tensor in graph.initializer}
    for node in graph.node:
        bias = biases.get(node.input[1], "") if len(node.input) > 1 else ""
        if bias in constants and bias not in there:
            graph.initializer.append(numpy_helper.from_array(constants[bias], bias))
            del node.input[2:]
            node.input.append(bias)


def _round_outputs(graph: onnx.GraphProto, int8: onnx.ModelProto, places: dict[str, Activation]) -> None:
    """Put a QuantizeLinear and a DequantizeLinear behind each named tensor."""
    parameters = {name for place in places.values() for name in (place.scale, place.zero_point)}
    graph.initializer.extend(tensor for tensor in int8.graph.initializer if tensor.name in parameters)
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        for index, name in enumerate(node.input):
            if name in places:
                node.input[index] = places[name].dequantized
        nodes.append(node)
        for name in node.output:
            if name in places:
                scale, zero, after = places[name].scale, places[name].zero_point, places[name].dequantized
                nodes.append(helper.make_node("QuantizeLinear", [name, scale, zero], [f"{name}.rounded"]))
                nodes.append(helper.make_node("DequantizeLinear", [f"{name}.rounded", scale, zero], [after]))
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)
