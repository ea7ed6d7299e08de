"""Does the bundle's int8 student give the float student's numbers? Measured with the code that ships."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sightline_edge.runtimes.ort import OrtRuntime
from sightline_export.convert_onnx import INPUT
from sightline_export.evaluate import Figure, mean_figure
from sightline_export.quantize import emulated_session
from sightline_export.recipe import Bars
from sightline_shared.errors import GoldenMismatch

TIMED_CALLS = 60


@dataclass(frozen=True)
class Parity:
    """Cosines between int8 and float embeddings of the same photographs, and one-thread times in ms."""

    cosines: NDArray[np.float32]
    exact_cosines: NDArray[np.float32]
    int8_ms: float
    float_ms: float

    def figures(self, data: str) -> dict[str, Figure]:
        n = len(self.cosines)
        return {
            "int8.cosine_mean": mean_figure(self.cosines.astype(np.float64), data),
            "int8.cosine_p1": Figure(float(np.quantile(self.cosines, 0.01)), None, n, data),
            "int8.cosine_min": Figure(float(self.cosines.min()), None, n, data),
            "int8.integer_against_emulated_min": Figure(
                float(self.exact_cosines.min()), None, len(self.exact_cosines), data
            ),
            "latency.int8_one_thread_ms": Figure(self.int8_ms, None, TIMED_CALLS, "this machine, median, unquiet"),
            "latency.float_one_thread_ms": Figure(self.float_ms, None, TIMED_CALLS, "this machine, median, unquiet"),
        }


def measure_parity(float_model: bytes, int8_model: bytes, pixels: NDArray[np.uint8]) -> Parity:
    """Compare both models on `pixels` `(n, s, s, 3) uint8`, and the integer kernels with emulated arithmetic."""
    reference, shipped = OrtRuntime(float_model), OrtRuntime(int8_model)
    expected, got = embed_rows(reference, pixels), embed_rows(shipped, pixels)
    emulated = emulated_session(int8_model)
    few = pixels[:64]
    exact = np.concatenate([emulated.run(None, {INPUT: picture[None]})[0] for picture in few])
    return Parity(
        cosines=(expected * got).sum(axis=1),
        exact_cosines=(exact * got[: len(few)]).sum(axis=1),
        int8_ms=median_ms(shipped, pixels[:1]),
        float_ms=median_ms(reference, pixels[:1]),
    )


def embed_rows(runtime: OrtRuntime, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return `(n, d) float32`, one picture at a time, as a phone does it."""
    return np.concatenate([runtime.embed(picture[None]) for picture in pixels])


def median_ms(runtime: OrtRuntime, pixels: NDArray[np.uint8]) -> float:
    """Return the median time of one embedding in milliseconds."""
    times = []
    for _ in range(TIMED_CALLS):
        start = time.perf_counter()
        runtime.embed(pixels)
        times.append((time.perf_counter() - start) * 1000)
    return float(np.median(times))


def check_bars(parity: Parity, recall_loss: float | None, bars: Bars) -> None:
    """Raise GoldenMismatch when the int8 model is further from the float model than the recipe allows."""
    mean, worst = float(parity.cosines.mean()), float(parity.cosines.min())
    rules = [
        (mean >= bars.int8_cosine_mean, f"a mean cosine of {bars.int8_cosine_mean} or more", f"{mean:.4f}"),
        (worst >= bars.int8_cosine_min, f"a worst cosine of {bars.int8_cosine_min} or more", f"{worst:.4f}"),
    ]
    if recall_loss is not None:
        bar = bars.int8_recall_loss
        rules.append((recall_loss <= bar, f"a loss of R@1 of at most {bar}", f"{recall_loss:.4f}"))
    for good, expected, got in rules:
        if not good:
            raise GoldenMismatch(
                f"int8 student against float: expected {expected}, got {got}.",
                hint="Calibrate on more photographs (calibration_images), or train longer; [bars] sets the limits.",
            )
