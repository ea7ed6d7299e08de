"""The seam between the device path and an inference runtime."""

from __future__ import annotations

import argparse
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sightline_shared.bundle import Bundle
from sightline_shared.errors import ConfigInvalid

DEFAULT_RUNTIME = "onnxruntime"
# The role of the bundle's file that each runtime runs.
RUNTIMES = {DEFAULT_RUNTIME: "student", "tflite": "student.tflite"}


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

    Raises ConfigInvalid for an unknown name or a bundle without a file for it, ExtraMissing when the runtime is not
    installed, RuntimeFailed when the model does not load, GoldenMismatch when it loads and computes other numbers than
    the bundle's golden outputs.
    """
    role = RUNTIMES.get(name)
    if role is None:
        raise ConfigInvalid(f"runtime: expected one of {sorted(RUNTIMES)}, got '{name}'.")
    if role not in bundle.manifest.roles:
        raise ConfigInvalid(
            f"runtime '{name}': expected a file in role '{role}', got a bundle ({bundle.label}) with the roles "
            f"{sorted(bundle.manifest.roles)}.",
            hint=f"Use the runtime '{DEFAULT_RUNTIME}', or export a bundle with [mobile] {name} in its recipe.",
        )
    runtime = _loaded(name, bundle.role(role), threads)
    bundle.check_golden(runtime.embed, runtime=runtime.name, role=role)
    return runtime


def add_runtime_argument(parser: argparse.ArgumentParser) -> None:
    """Add `--runtime` to a command that runs the student."""
    parser.add_argument(
        "--runtime",
        choices=sorted(RUNTIMES),
        default=DEFAULT_RUNTIME,
        help="what runs the student (default %(default)s)",
    )


def _loaded(name: str, model: bytes, threads: int) -> Runtime:
    if name == "tflite":
        from sightline_edge.runtimes.tflite import TfliteRuntime

        return TfliteRuntime(model, threads=threads)
    from sightline_edge.runtimes.ort import OrtRuntime

    return OrtRuntime(model, threads=threads)
