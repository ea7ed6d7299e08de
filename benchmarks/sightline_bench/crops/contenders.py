"""Other ways to propose regions, against the device's own: each gives `count` boxes, best first.

The saliencies go through the device's windows and its choice among them; only the map differs.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

from sightline_edge.crops import Floats, best_windows, propose, thumbnail
from sightline_edge.frame import Box, Picture

Proposer = Callable[[Picture, int], tuple[Box, ...]]
Saliency = Callable[[Image.Image], Floats]

GRID_SHARE = 0.6


def spectral_residual(image: Image.Image) -> Floats:
    """Return what a thumbnail's spectrum has beyond a smooth one (Hou and Zhang, CVPR 2007), smoothed."""
    spectrum = np.fft.fft2(thumbnail(image).mean(axis=2))
    level = np.log(np.abs(spectrum) + 1e-6)
    smooth = sum(np.roll(level, (down, across), (0, 1)) for down in (-1, 0, 1) for across in (-1, 0, 1)) / 9
    salient = np.abs(np.fft.ifft2(np.exp(level - smooth + 1j * np.angle(spectrum)))) ** 2
    return _smoothed(_smoothed(salient.astype(np.float32)))


def colour_contrast(image: Image.Image) -> Floats:
    """Return how far a thumbnail's colours are from their mean over the frame."""
    small = thumbnail(image)
    return _smoothed(np.linalg.norm(small - small.mean(axis=(0, 1)), axis=2))


def grid(picture: Picture, count: int) -> tuple[Box, ...]:
    """Return up to four corners of the frame, whatever is in it."""
    width, height = picture.size
    wide, high = int(width * GRID_SHARE), int(height * GRID_SHARE)
    corners = ((0, 0), (width - wide, height - high), (width - wide, 0), (0, height - high))
    return tuple(Box(left, top, left + wide, top + high) for left, top in corners[:count])


def by(saliency: Saliency) -> Proposer:
    """Return the device's choice of windows on another saliency map."""
    return lambda picture, count: best_windows(saliency(picture.image), picture.size, count)


CONTENDERS: dict[str, Proposer] = {
    "edges (the device's)": propose,
    "spectral residual": by(spectral_residual),
    "colour contrast": by(colour_contrast),
    "four corners": grid,
}


def _smoothed(values: Floats) -> Floats:
    padded = np.pad(values, 2, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (5, 5))
    return np.asarray(windows.mean(axis=(2, 3)), np.float32)
