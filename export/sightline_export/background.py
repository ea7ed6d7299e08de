"""Another background behind the same thing, without a segmentation network.

A studio picture has a plain border: what is like the border and connected with it is background. Of any other photograph
only the middle is surely the thing, so a soft ellipse around the middle is kept. The first is right, the second a proxy.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

MASK_SIDE = 128
# A border is plain when its colours spread less than this, in levels.
PLAIN_SPREAD = 12.0
# A pixel counts as border-like when no channel is further than this from the border's median.
LIKE_BORDER = 24
LEAST_SHARE, MOST_SHARE = 0.05, 0.95


def foreground_mask(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Return an "L" mask of the picture's size: 255 on the thing, 0 behind it, soft between."""
    small = np.asarray(image.resize((MASK_SIDE, MASK_SIDE), Image.Resampling.BILINEAR), dtype=np.int16)
    mask = plain_border_mask(small)
    if mask is None:
        mask = ellipse_mask(rng)
    return mask.filter(ImageFilter.GaussianBlur(1.2)).resize(image.size, Image.Resampling.BILINEAR)


def plain_border_mask(pixels: NDArray[np.int16]) -> Image.Image | None:
    """Return the mask of a picture `(h, w, 3)` with a plain border, or None when its border is not plain."""
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    median = np.median(border, axis=0)
    if float(np.abs(border - median).mean()) > PLAIN_SPREAD:
        return None
    like = (np.abs(pixels - median) <= LIKE_BORDER).all(axis=2)
    # Flood from outside, through a frame that is background for certain, so that every side is a start.
    framed = np.pad(np.where(like, 255, 0).astype(np.uint8), 1, constant_values=255)
    flood = Image.fromarray(framed).copy()  # a picture over an array cannot be drawn on
    ImageDraw.floodfill(flood, (0, 0), 128)
    mask = np.where(np.asarray(flood)[1:-1, 1:-1] == 128, 0, 255).astype(np.uint8)
    share = float(mask.mean()) / 255
    return Image.fromarray(mask) if LEAST_SHARE < share < MOST_SHARE else None


def ellipse_mask(rng: np.random.Generator) -> Image.Image:
    """Return a soft ellipse that covers 70 to 100 % of each side, near the middle."""
    wide, high = (float(value) * MASK_SIDE / 2 for value in rng.uniform(0.7, 1.0, 2))
    x, y = (MASK_SIDE / 2 + float(value) for value in rng.uniform(-6, 6, 2))
    mask = Image.new("L", (MASK_SIDE, MASK_SIDE), 0)
    ImageDraw.Draw(mask).ellipse((x - wide, y - high, x + wide, y + high), fill=255)
    return mask.filter(ImageFilter.GaussianBlur(3))


def replace_background(image: Image.Image, other: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Return `image` before white, a plain colour, or `other` out of focus: a third of the time each."""
    choice = rng.random()
    if choice < 1 / 3:
        behind = Image.new("RGB", image.size, (255, 255, 255))
    elif choice < 2 / 3:
        behind = Image.new("RGB", image.size, tuple(int(value) for value in rng.integers(0, 256, 3)))
    else:
        behind = other.resize(image.size, Image.Resampling.BILINEAR, reducing_gap=2.0)
        behind = behind.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.5, 3))))
    return Image.composite(image, behind, foreground_mask(image, rng))
