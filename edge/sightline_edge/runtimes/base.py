"""The seam between the device path and an inference runtime."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sightline_shared.bundle import Bundle
from sightline_shared.errors import ConfigInvalid

DEFAULT_RUNTIME = "onnxruntime"


class Runtime(Protocol):
    """Runs the student network."""

    @property
    def name(self) -> str:
        """The runtime's name and version, for reports."""
        ...

    def embed(self, tensors: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return unit-length embeddings `(n, d) float32` of `tensors` `(n, s, s, 3) uint8`; raises RuntimeFailed."""
        ...


def load_runtime(name: str, bundle: Bundle, *, threads: int = 1) -> Runtime:
    """Return the named runtime with the bundle's student loaded and proved on its golden vectors.

    Raises ConfigInvalid for an unknown name, RuntimeFailed when the model does not load, GoldenMismatch when it
    loads and computes other numbers than the bundle's golden outputs.
    """
    if name != DEFAULT_RUNTIME:
        raise ConfigInvalid(f"runtime: expected '{DEFAULT_RUNTIME}', got '{name}'.")
    from sightline_edge.runtimes.ort import OrtRuntime

    runtime = OrtRuntime(bundle.role("student"), threads=threads)
    bundle.check_golden(runtime.embed, runtime=runtime.name)
    return runtime
