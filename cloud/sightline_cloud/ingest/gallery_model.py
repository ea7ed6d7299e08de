"""Embeds the catalogue's photographs with the bundle's model, under ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from sightline_shared.bundle import Bundle
from sightline_shared.errors import RuntimeFailed


class GalleryModel:
    """The model that the gallery is embedded with, proved on the bundle's golden vectors when it is loaded."""

    def __init__(self, bundle: Bundle, *, threads: int = 1) -> None:
        """Load the model; raises RuntimeFailed, or GoldenMismatch when it computes other numbers than it should."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session: Any = onnxruntime.InferenceSession(
                bundle.role("student"), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ORT raises a dozen unrelated classes
            raise RuntimeFailed(f"ONNX Runtime could not load the gallery model: {_first_line(error)}") from error
        bundle.check_golden(self.embed, runtime=f"onnxruntime {onnxruntime.__version__}")

    def embed(self, tensors: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return embeddings `(n, d) float32` of `tensors` `(n, s, s, 3) uint8`."""
        try:
            (embeddings,) = self._session.run(["embedding"], {"pixels": tensors})
        except Exception as error:
            raise RuntimeFailed(f"ONNX Runtime failed on a {tensors.shape} batch: {_first_line(error)}") from error
        result: NDArray[np.float32] = embeddings
        return result


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:300]
