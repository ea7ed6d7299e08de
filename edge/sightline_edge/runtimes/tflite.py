"""The student under TensorFlow Lite, on the CPU: ai-edge-litert, else the frozen tflite-runtime.

tflite-runtime 2.14.0 is what many devices still carry. It computes float and static int8 files rightly and
dynamic-range int8 files silently wrong: perfect lengths, directions of chance. Nothing in its interface tells, so every
runtime is held against the bundle's golden vectors when it is loaded (`load_runtime`).
"""

from __future__ import annotations

import importlib
import importlib.metadata
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline_shared.errors import ExtraMissing, RuntimeFailed

# Module and package of each runtime, the preferred one first.
PACKAGES = (("ai_edge_litert.interpreter", "ai-edge-litert"), ("tflite_runtime.interpreter", "tflite-runtime"))
# A flatbuffer's file identifier: what has none never reaches the C++ parser.
IDENTIFIER = b"TFL3"


class TfliteRuntime:
    """One interpreter behind a lock: it holds its tensors itself, so threads take turns."""

    def __init__(self, model: bytes, *, threads: int = 1) -> None:
        """Load `model`; raises ExtraMissing when no TFLite runtime is installed, RuntimeFailed when it refuses."""
        module, package = find_interpreter()
        self._name = f"{package} {importlib.metadata.version(package)}"
        self._lock = threading.Lock()
        if model[4:8] != IDENTIFIER:
            raise RuntimeFailed(f"{self._name}: expected a TFLite file, got {model[:8]!r}...")
        try:
            self._interpreter: Any = module.Interpreter(model_content=model, num_threads=threads)
            self._interpreter.allocate_tensors()
            (given,), (made,) = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        except Exception as error:  # ValueError and RuntimeError, with the C++ side's text
            raise RuntimeFailed(f"{self._name} could not load the bundle's student: {_first_line(error)}") from error
        self._input, self._output = int(given["index"]), int(made["index"])
        self._shape = tuple(int(n) for n in given["shape"])
        if given["dtype"] is not np.uint8 or self._shape[0] != 1 or made["dtype"] is not np.float32:
            raise RuntimeFailed(
                f"{self._name}: expected (1, s, s, 3) uint8 pixels to float32, got {self._shape} {given['dtype']} to "
                f"{made['dtype']}."
            )

    @property
    def name(self) -> str:
        return self._name

    def embed(self, tensors: NDArray[np.uint8]) -> NDArray[np.float32]:
        if tensors.dtype != np.uint8 or tensors.shape[1:] != self._shape[1:]:
            raise RuntimeFailed(
                f"{self._name}: expected (n, {', '.join(map(str, self._shape[1:]))}) uint8 pixels, got {tensors.shape} "
                f"{tensors.dtype}."
            )
        return np.concatenate([self._one(tensor[None]) for tensor in tensors])

    def _one(self, tensor: NDArray[np.uint8]) -> NDArray[np.float32]:
        try:
            with self._lock:
                self._interpreter.set_tensor(self._input, tensor)
                self._interpreter.invoke()
                result: NDArray[np.float32] = self._interpreter.get_tensor(self._output)
        except Exception as error:
            raise RuntimeFailed(f"{self._name} failed on a {tensor.shape} tensor: {_first_line(error)}") from error
        return result


def find_interpreter() -> tuple[Any, str]:
    """Return the module that has `Interpreter`, and its package's name; raises ExtraMissing."""
    reasons = []
    for module, package in PACKAGES:
        try:
            return importlib.import_module(module), package
        except Exception as error:  # tflite-runtime under numpy 2 raises AttributeError
            reasons.append(f"{package}: {_first_line(error)}")
    raise ExtraMissing(
        f"runtime 'tflite': expected a TFLite runtime, got {'; '.join(reasons)}.",
        hint="Run: pip install 'sightline[tflite]'",
    )


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:300]
