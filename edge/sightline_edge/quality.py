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


def measure(tensor: NDArray[np.uint8]) -> Quality:
    """Return the quality of the model's input `(s, s, 3) uint8`; luma = (299 R + 587 G + 114 B) / 1000."""
    light = luma(tensor)
    inner = light[1:-1, 1:-1]
    laplacian = light[:-2, 1:-1] + light[2:, 1:-1] + light[1:-1, :-2] + light[1:-1, 2:] - 4 * inner
    return Quality(sharpness=float(laplacian.var()), brightness=float(light.mean()))


def luma(tensor: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the luma `(h, w) float32` of `(h, w, 3) uint8` pixels, 0 to 255."""
    return np.asarray(tensor @ np.array([0.299, 0.587, 0.114], np.float32), np.float32)


def problem(quality: Quality, gate: Gate) -> str | None:
    """Return the reason to turn the frame away, as an app can show it, or None."""
    if quality.brightness < gate.min_brightness:
        return "too dark"
    if quality.brightness > gate.max_brightness:
        return "too bright"
    if quality.sharpness < gate.min_sharpness:
        return HOLD_STILL
    return None
