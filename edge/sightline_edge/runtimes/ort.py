"""The student under ONNX Runtime, on the CPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from sightline_shared.errors import RuntimeFailed


class OrtRuntime:
    """One inference session; safe to use from several threads."""

    def __init__(self, model: bytes, *, threads: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Worker threads that spin while they wait would burn the phone's battery between frames.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        try:
            self._session: Any = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ORT raises a dozen unrelated classes, RuntimeError among them
            raise RuntimeFailed(f"ONNX Runtime could not load the bundle's student: {_first_line(error)}") from error

    @property
    def name(self) -> str:
        return f"onnxruntime {onnxruntime.__version__}"

    def embed(self, tensors: NDArray[np.uint8]) -> NDArray[np.float32]:
        try:
            (embeddings,) = self._session.run(["embedding"], {"pixels": tensors})
        except Exception as error:
            raise RuntimeFailed(f"ONNX Runtime failed on a {tensors.shape} batch: {_first_line(error)}") from error
        result: NDArray[np.float32] = embeddings
        return result


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:300]
