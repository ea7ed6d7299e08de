"""Runs in the interpreter that has litert-torch: a torch.export program and photographs in, TFLite files out.

    python tflite_worker.py FOLDER KIND...

FOLDER holds `student.pt2` (input `(1, s, s, 3) uint8`), `calibration.npy` `(n, s, s, 3) uint8` and, when the weights
are whole multiples of known scales, `scales.npz`: for each layer `peaks_I`, the largest weight of each output, by which
the layer is known again, and `scales_I`. The worker adds
`student.fp32.tflite` and `student.KIND.tflite` for each kind: static (int8 weights and activations), dynamic (int8
weights, activations quantized as they come) or weights (int8 weights, float arithmetic). It imports nothing of
Sightline, so that its environment needs litert-torch alone. What follows the head, the normalisation to length 1, stays
in float in every kind.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

# The operations that become integer; all others (the scaling of the pixels, the tail) stay in float.
INTEGER = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "ADD", "PAD", "MEAN", "TRANSPOSE")
WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
BITS = 8


def main(folder: Path, kinds: list[str]) -> None:
    """Convert, then quantize in each of `kinds`."""
    import litert_torch
    import numpy as np
    import torch

    program = torch.export.load(folder / "student.pt2")
    pixels = np.load(folder / "calibration.npy", allow_pickle=False)
    float_file = folder / "student.fp32.tflite"
    litert_torch.convert(program.module(), (torch.from_numpy(pixels[:1].copy()),)).export(str(float_file))
    given = folder / "scales.npz"
    if given.is_file():
        _take_scales(dict(np.load(given, allow_pickle=False)))
    _keep_extremes()
    ranges: Any = None
    for kind in kinds:
        quantizer = _quantizer(float_file, kind)
        if quantizer.need_calibration and ranges is None:
            ranges = _calibrate(quantizer, float_file, pixels)
        made = quantizer.quantize(
            ranges if quantizer.need_calibration else None, enable_progress_bar=False, enable_progress_report=False
        )
        made.export_model(str(folder / f"student.{kind}.tflite"), overwrite=True)


def _quantizer(float_file: Path, kind: str) -> Any:
    from ai_edge_quantizer import qtyping, quantizer

    made = quantizer.Quantizer(str(float_file))
    for name in INTEGER if kind == "static" else WEIGHTED:
        operation = qtyping.TFLOperationName[name]
        if kind == "static":
            made.add_static_config(".*", operation, activation_num_bits=BITS, weight_num_bits=BITS)
        elif kind == "dynamic":
            made.add_dynamic_config(".*", operation, BITS)
        else:
            made.add_weight_only_config(".*", operation, BITS)
    return made


def _take_scales(table: dict[str, Any]) -> None:
    """Make the quantizer take each layer's scales from `table` where it would compute them from the largest weight."""
    import dataclasses
    import functools

    import numpy as np
    from ai_edge_quantizer import algorithm_manager, qtyping
    from ai_edge_quantizer.algorithms.uniform_quantize import (
        common_quantize,
        naive_min_max_quantize,
        uniform_quantize_tensor,
    )

    def parameters(operation: Any, config: Any, content: Any = None, ranges: Any = None) -> Any:
        found = naive_min_max_quantize.get_tensor_quant_params(operation, config, content, ranges)
        if content is None or found.quantized_dimension is None:
            return found
        axes = tuple(axis for axis in range(content.ndim) if axis != found.quantized_dimension)
        peaks = np.abs(content).max(axis=axes)
        for name, known in table.items():
            if name.startswith("peaks_") and known.shape == peaks.shape and np.allclose(known, peaks, rtol=1e-5):
                scale = table[name.replace("peaks_", "scales_")].reshape(found.scale.shape).astype(np.float32)
                given = dataclasses.replace(found, scale=scale, quantized_data=None)
                return dataclasses.replace(
                    given, quantized_data=uniform_quantize_tensor.uniform_quantize(content, given)
                )
        raise RuntimeError(f"a weight of shape {content.shape} is none of the layers that scales were given for")

    for name in WEIGHTED:
        algorithm_manager.register_quantized_op(
            algorithm_manager.AlgorithmName.MIN_MAX_UNIFORM_QUANT,
            qtyping.TFLOperationName[name],
            naive_min_max_quantize.init_qsvs,
            calibration_func=naive_min_max_quantize.min_max_calibrate,
            materialize_func=functools.partial(common_quantize.materialize_fc_conv, parameters),
        )


def _keep_extremes() -> None:
    """Make calibration keep the least and largest value seen; its own moving average clips what is rare."""
    from ai_edge_quantizer import algorithm_manager
    from ai_edge_quantizer.utils import qsv_utils

    registry = algorithm_manager._alg_manager_instance._algorithm_registry
    for operation in registry[algorithm_manager.AlgorithmName.MIN_MAX_UNIFORM_QUANT].quantized_ops.values():
        operation.update_qsv_func = qsv_utils.min_max_update


def _calibrate(quantizer: Any, float_file: Path, pixels: Any) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    ((signature, names),) = Interpreter(str(float_file)).get_signature_list().items()
    rows = [{names["inputs"][0]: picture[None]} for picture in pixels]
    return quantizer.calibrate({signature: rows}, num_threads=1)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(Path(sys.argv[1]), sys.argv[2:])
