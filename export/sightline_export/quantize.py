"""Static int8 quantization of the student: QDQ, per channel, calibrated on real photographs, the same everywhere.

An x86 without VNNI multiplies 8-bit activations (0..255) with 8-bit weights and adds the products of two neighbouring
input channels in 16 bits. With ordinary scales that sum saturates, and the same file gives other numbers there (worst
cosine 0.73 on this model) than with VNNI or on ARM. So each output channel's scale is chosen such that no pair of
neighbouring weights can reach the limit: 255 * 128 < 2 ** 15. That costs a fraction of a bit where `reduce_range` costs
a whole one, and no time. Depthwise convolutions use another kernel and keep the full range.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import numpy_helper
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from sightline_export.convert_onnx import INPUT, strip_debug
from sightline_export.recipe import ROUNDINGS
from sightline_export.rounding import ANY_ORDER_INPUTS, LEVELS, round_weights
from sightline_shared.errors import RecipeInvalid

# Clip must be among them: only then does ReLU6 give its range to the convolution before it (cosine 0.85 without).
OPERATORS = ["Conv", "Gemm", "MatMul", "Add", "Clip"]
# Two rounded weights may add up to 128: 255 * 128 = 32640 fits in 16 bits.
PAIR_LEVELS = 127.0
# Photographs that the rounding learns from: more gain nothing.
ROUNDING_IMAGES = 128


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    """Feeds the calibration pictures one by one."""

    def __init__(self, pixels: NDArray[np.uint8]) -> None:
        self._rows = iter(pixels)

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        row = next(self._rows, None)
        return None if row is None else {INPUT: row[None]}


def quantize(
    model: onnx.ModelProto, pixels: NDArray[np.uint8], *, pair_safe: bool = True, rounding: str = "compensated"
) -> onnx.ModelProto:
    """Return the int8 model, its ranges (min-max) and its rounding taken from `pixels` `(n, s, s, 3) uint8`.

    `rounding` is "compensated" (`rounding.py`; it looks at no more than ROUNDING_IMAGES of the pictures) or "nearest".
    `pair_safe = False` uses ordinary scales; it is there to measure what they do, and goes with "nearest". Raises
    RecipeInvalid for another name.
    """
    if rounding not in ROUNDINGS:
        raise RecipeInvalid(f"rounding: expected one of {ROUNDINGS}, got '{rounding}'.")
    with tempfile.TemporaryDirectory() as folder:
        source, prepared, result = (str(Path(folder) / name) for name in ("float.onnx", "prepared.onnx", "int8.onnx"))
        onnx.save(model, source)
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        limits = weight_limits(onnx.load(prepared)) if pair_safe else {}
        if pair_safe and rounding == "compensated":
            rounded = round_weights(onnx.load(prepared), pixels[:ROUNDING_IMAGES], limits)
            onnx.save(rounded.model, prepared)
            # The weights are whole multiples of these scales: ONNX Runtime finds the same integers again.
            limits = {name: scales * LEVELS for name, scales in rounded.scales.items()}
        quantize_static(
            prepared,
            result,
            _Reader(pixels),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=OPERATORS,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            extra_options={
                "ActivationSymmetric": False,
                "WeightSymmetric": True,
                "TensorQuantOverrides": {name: _overrides(values) for name, values in limits.items()},
            },
        )
        quantized: onnx.ModelProto = onnx.load(result)
    strip_debug(quantized)
    onnx.checker.check_model(quantized)
    return quantized


def weight_limits(model: onnx.ModelProto) -> dict[str, NDArray[np.float64]]:
    """Return the pair-safe limits `(outputs,)` of the weight of every dense convolution and matrix product."""
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    limits: dict[str, NDArray[np.float64]] = {}
    for node in model.graph.node:
        if node.op_type not in ("Conv", "Gemm") or node.input[1] not in tensors:
            continue
        numbers = {attribute.name: attribute.i for attribute in node.attribute}
        if numbers.get("group", 1) != 1 or (node.op_type == "Gemm" and numbers.get("transB") != 1):
            continue
        weight = numpy_helper.to_array(tensors[node.input[1]])
        limits[node.input[1]] = pair_safe_limits(weight.reshape(len(weight), -1))
    return limits


def _overrides(limits: NDArray[np.float64]) -> list[dict[str, object]]:
    """Return ONNX Runtime's per-channel overrides for one weight."""
    shared = {"axis": 0, "quant_type": QuantType.QInt8, "symmetric": True}
    return [{**shared, "rmin": np.float32(-limit), "rmax": np.float32(limit)} for limit in limits]


def pair_safe_limits(weight: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the largest magnitude `(outputs,)` that each row of `weight` `(outputs, inputs)` is quantized for."""
    rows = weight.astype(np.float64)
    if rows.shape[1] % 2:
        rows = np.pad(rows, ((0, 0), (0, 1)))
    worst = np.zeros(len(rows))
    for signed in (np.maximum(rows, 0), np.maximum(-rows, 0)):
        if rows.shape[1] < ANY_ORDER_INPUTS:
            pairs = np.sort(signed, axis=1)[:, -2:].sum(axis=1)
        else:
            pairs = signed.reshape(len(rows), -1, 2).sum(axis=2).max(axis=1)
        worst = np.maximum(worst, pairs)
    limits: NDArray[np.float64] = np.maximum(np.abs(rows).max(axis=1), worst * LEVELS / PAIR_LEVELS)
    return np.maximum(limits, 1e-6)


def emulated_session(model: bytes) -> onnxruntime.InferenceSession:
    """Return a session that computes the quantized model in float, rounding where the file says so.

    Float adds these small integers exactly: this is what hardware without saturation computes.
    """
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
