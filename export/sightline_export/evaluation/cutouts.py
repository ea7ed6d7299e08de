"""Foreground and background of a picture, without a segmentation network.

A studio picture's ground is what a flood of near-white reaches from its border. A natural photograph gets a centred
ellipse as a stand-in for its object: people aim at what they ask about, and crops centre it. The ellipse misses parts
of the object and takes some of its surroundings along: differences measured with it are damped on both sides.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]

NEAR_WHITE = 232
LEAST_SHARE, MOST_SHARE = 0.05, 0.95
ELLIPSE_SIDES = 0.8
FEATHER_PIXELS = 1.0
GREY = 127


def studio_mask(pixels: Pixels) -> Mask | None:
    """Return the foreground `(h, w) bool` of a studio picture `(h, w, 3)`, None when its ground is not near-white.

    None also when the foreground has less than 5 % or more than 95 % of the picture.
    """
    white = pixels.min(axis=2) >= NEAR_WHITE
    reached = np.zeros_like(white)
    reached[[0, -1]] = white[[0, -1]]
    reached[:, [0, -1]] = white[:, [0, -1]]
    while True:
        grown = reached.copy()
        grown[1:] |= reached[:-1]
        grown[:-1] |= reached[1:]
        grown[:, 1:] |= reached[:, :-1]
        grown[:, :-1] |= reached[:, 1:]
        grown &= white
        if (grown == reached).all():
            break
        reached = grown
    share = 1 - reached.mean()
    return ~reached if LEAST_SHARE <= share <= MOST_SHARE else None


def ellipse_mask(height: int, width: int) -> Mask:
    """Return a centred ellipse `(h, w) bool` whose axes are 80 % of the sides: half of the picture."""
    down = (np.arange(height) + 0.5) / height * 2 - 1
    across = (np.arange(width) + 0.5) / width * 2 - 1
    inside: Mask = down[:, None] ** 2 + across[None, :] ** 2 <= ELLIPSE_SIDES**2
    return inside


def fill_inside(pixels: Pixels, mask: Mask) -> Pixels:
    """Return `pixels` with what `mask` covers replaced by the blurred continuation of what lies around it.

    Weighted blur (what is known, divided by the blurred share that is known) at ever larger radii, nearest first.
    """
    known = ~mask
    filled = np.where(mask[..., None], 0, pixels).astype(np.uint8)
    result = filled.astype(np.float32)
    missing = mask.copy()
    radius = max(2.0, min(mask.shape) / 40)
    while missing.any() and radius < 4 * max(mask.shape):
        colour = _blurred(filled, radius)
        weight = _blurred((known * 255).astype(np.uint8), radius)
        enough = missing & (weight >= 32)
        result[enough] = colour[enough] * (255 / weight[enough][:, None])
        missing &= ~enough
        radius *= 2
    result[missing] = GREY
    return np.clip(result, 0, 255).astype(np.uint8)


def paste(foreground: Pixels, mask: Mask, background: Pixels) -> Pixels:
    """Return `foreground` where `mask` is, on `background` scaled to its size, with a soft edge of one pixel."""
    height, width = mask.shape
    ground = np.asarray(Image.fromarray(background).resize((width, height), Image.Resampling.BILINEAR), np.float32)
    soft = _blurred((mask * 255).astype(np.uint8), FEATHER_PIXELS)[..., None] / 255
    return np.clip(np.rint(foreground * soft + ground * (1 - soft)), 0, 255).astype(np.uint8)


def grey_ground(foreground: Pixels, mask: Mask) -> Pixels:
    """Return `foreground` with its background removed: plain grey."""
    return paste(foreground, mask, np.full_like(foreground, GREY))


def _blurred(pixels: Pixels, radius: float) -> NDArray[np.float32]:
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(radius)), dtype=np.float32)
