"""Is the frame good enough to ask about? Sharpness and brightness of the model's own input.

Measured on the tensor that the model would see, so that the thresholds mean the same on every camera.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sightline_edge.gate import Gate

HOLD_STILL = "hold still"


@dataclass(frozen=True)
class Quality:
    """`sharpness`: variance of the 4-neighbour Laplacian of the luma; `brightness`: mean luma, 0 to 255."""

    sharpness: float
    brightness: float


def measure(light: NDArray[np.float32]) -> Quality:
    """Return the quality of the model's input, given by its luma plane `(s, s) float32` (`preprocess.luma`)."""
    width, flat = light.shape[1], np.ascontiguousarray(light).ravel()
    # The plane as one long row takes half the time; where one line of it meets the next, the values are cut off again.
    laplacian = flat[: -2 * width] + flat[2 * width :]
    laplacian += flat[width - 1 : -width - 1]
    laplacian += flat[width + 1 : flat.size - width + 1]
    laplacian -= 4 * flat[width:-width]
    inner = np.ascontiguousarray(laplacian.reshape(-1, width)[:, 1:-1]).ravel()
    inner -= _mean(inner)
    inner *= inner
    return Quality(sharpness=float(_mean(inner)), brightness=float(_mean(flat)))


def _mean(values: NDArray[np.float32]) -> np.float32:
    """Return `values.mean()`, without the checks that cost more than the sum when their code has left the cache."""
    return np.float32(np.add.reduce(values) / np.float32(values.size))


def problem(quality: Quality, gate: Gate) -> str | None:
    """Return the reason to turn the frame away, as an app can show it, or None."""
    if quality.brightness < gate.min_brightness:
        return "too dark"
    if quality.brightness > gate.max_brightness:
        return "too bright"
    if quality.sharpness < gate.min_sharpness:
        return HOLD_STILL
    return None
