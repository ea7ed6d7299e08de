"""From a torch module to ONNX bytes, and ONNX sessions with a fixed number of threads.

Feature extraction runs through ONNX Runtime too: one picture at a time it is five times as fast as eager torch.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import nn

OPSET = 20
INPUT = "pixels"
OUTPUT = "embedding"


def to_onnx(module: nn.Module, size: int, output: str = OUTPUT) -> onnx.ModelProto:
    """Export `module`: input 'pixels' `(n, size, size, 3) uint8`, the batch dynamic, the rest static."""
    example = torch.zeros((2, size, size, 3), dtype=torch.uint8)
    return traced(module, example, (INPUT, output), {0: torch.export.Dim("n")})


def traced(
    module: nn.Module, example: torch.Tensor, names: tuple[str, str], dynamic: dict[int, torch.export.Dim]
) -> onnx.ModelProto:
    """Export `module` of one input and one output, `names`, whose `dynamic` dimensions are free; the exporter says nothing."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                module.eval(),
                (example,),
                dynamo=True,
                external_data=False,
                opset_version=OPSET,
                input_names=[names[0]],
                output_names=[names[1]],
                dynamic_shapes=(dynamic,),
                verbose=False,
            )
    finally:
        log.setLevel(level)
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    strip_debug(model)
    onnx.checker.check_model(model)
    return model


def strip_debug(model: onnx.ModelProto) -> None:
    """Remove what the exporter tells about our source files: paths do not belong in an artefact."""
    for holder in (model, model.graph, *model.graph.node, *model.functions):
        del holder.metadata_props[:]
        holder.doc_string = ""
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info, *model.graph.initializer):
        value.doc_string = ""
        if hasattr(value, "metadata_props"):
            del value.metadata_props[:]


def to_float16_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy that stores large float32 weights as float16 and casts them back: compute stays float32."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    casts: list[onnx.NodeProto] = []
    for tensor in copy.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or int(np.prod(tensor.dims)) < 64:
            continue
        values = numpy_helper.to_array(tensor)
        if np.abs(values).max() > np.finfo(np.float16).max:
            continue
        half = values.astype(np.float16)
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(half, f"{name}.half"))
        casts.append(helper.make_node("Cast", [f"{name}.half"], [name], f"{name}.cast", to=TensorProto.FLOAT))
    nodes = [*casts, *copy.graph.node]
    del copy.graph.node[:]
    copy.graph.node.extend(nodes)
    onnx.checker.check_model(copy)
    return copy


def open_session(model: onnx.ModelProto | bytes, threads: int = 2) -> onnxruntime.InferenceSession:
    """Return a CPU session with `threads` threads that do not spin between calls."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    data = model if isinstance(model, bytes) else model.SerializeToString()
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def run_rows(
    session: onnxruntime.InferenceSession,
    pixels: Sequence[NDArray[np.uint8]] | NDArray[np.uint8],
) -> NDArray[np.float32]:
    """Return `(n, d) float32`: the session's first output for every `(size, size, 3) uint8` picture."""
    rows = [session.run(None, {INPUT: picture[None]})[0] for picture in pixels]
    return np.concatenate(rows).astype(np.float32, copy=False)
