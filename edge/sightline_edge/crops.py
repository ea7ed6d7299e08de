"""Which parts of a frame to look at: the whole, what the app asks about, and salient regions found in plain numpy.

Where the things are, there are edges, in colour or lightness; a table or a wall has few. Windows of a few sizes and
shapes slide over the edge density of a small thumbnail: a window is good when it holds more of it than the ring around
it. The best windows that hardly overlap are proposed. `sightline bench crops` compares this with other saliencies.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sightline_edge.frame import Box, Picture, Tap, fitted

Floats = NDArray[np.float32]
# Rows of left, top, right, bottom in pixels of the thumbnail.
Windows = NDArray[np.int64]

# The thumbnail's long and least short side, in pixels.
LONG, LEAST = 64, 8
# Windows: side as a share of the frame's short side, and width over height, which the pixel spec keeps whole.
SHARES = (0.35, 0.5, 0.7)
ASPECTS = (3 / 4, 1.0, 4 / 3)
# The step from window to window, and the width of the ring around one, as shares of its sides.
STEP = 0.125
RING = 0.25
# How much a larger window is preferred: the score grows with this power of its area.
LARGER = 0.25
# Proposals overlap less than this (intersection over union), else they would say the same twice.
MAX_OVERLAP = 0.2


def choose(picture: Picture, crops: int, regions: Sequence[Box | Tap] = ()) -> tuple[Box, ...]:
    """Return the whole frame, the `regions` that were asked for, then up to `crops - 1` salient boxes, best first.

    Raises InputError for a region outside the frame.
    """
    asked = tuple(picture.region(region) for region in regions)
    return (picture.whole, *asked, *propose(picture, crops - 1, asked))


def propose(picture: Picture, count: int, taken: Sequence[Box] = ()) -> tuple[Box, ...]:
    """Return up to `count` salient boxes that overlap neither each other nor those `taken`; none in a blank frame."""
    return best_windows(edge_density(picture.image), picture.size, count, taken) if count > 0 else ()


def thumbnail(image: Image.Image) -> Floats:
    """Return a small copy of `image`: `(h, w, 3) float32`, 0 to 255."""
    scale = LONG / max(image.size)
    size = (max(LEAST, round(image.width * scale)), max(LEAST, round(image.height * scale)))
    return np.asarray(image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0), np.float32)


def edge_density(image: Image.Image) -> Floats:
    """Return the strength of edges over R, G and B in a thumbnail of `image`, averaged over 3 x 3: `(h, w) float32`."""
    down, across = np.gradient(thumbnail(image), axis=(0, 1))
    strength = np.sqrt((down * down + across * across).sum(axis=2))
    padded = np.pad(strength, 1, mode="edge")
    rows = padded[:-2] + padded[1:-1] + padded[2:]
    return np.asarray((rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]) / 9, np.float32)


def best_windows(saliency: Floats, size: tuple[int, int], count: int, taken: Sequence[Box] = ()) -> tuple[Box, ...]:
    """Return the `count` best windows on a map `(h, w)`, as boxes in a frame of `size` that hardly overlap."""
    windows = _windows(*saliency.shape)
    scores = contrast(saliency, windows)
    found: list[Box] = []
    for window in windows[np.argsort(-scores, kind="stable")[: np.count_nonzero(scores > 0)]]:
        box = _in_frame(window, saliency.shape, size)
        if all(box.overlap(other) < MAX_OVERLAP for other in (*taken, *found)):
            found.append(box)
            if len(found) == count:
                break
    return tuple(found)


def contrast(saliency: Floats, windows: Windows) -> Floats:
    """Return for each window how much more salient it is inside than in the ring around it, times its area's power."""
    height, width = saliency.shape
    sums = np.zeros((height + 1, width + 1))
    sums[1:, 1:] = saliency.cumsum(axis=0, dtype=np.float64).cumsum(axis=1)
    grow = np.rint(RING * (windows[:, 2:] - windows[:, :2])).astype(np.int64)
    around = np.concatenate([windows[:, :2] - grow, windows[:, 2:] + grow], axis=1)
    around = np.clip(around, 0, [width, height, width, height])
    inside, area = _total(sums, windows), _area(windows)
    ring = np.maximum(_area(around) - area, 1)
    score = inside / area - (_total(sums, around) - inside) / ring
    return np.asarray(score * area**LARGER, np.float32)


def _total(sums: NDArray[np.float64], windows: Windows) -> NDArray[np.float64]:
    left, top, right, bottom = windows.T
    total: NDArray[np.float64] = sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]
    return total


def _area(windows: Windows) -> NDArray[np.float64]:
    sides = (windows[:, 2:] - windows[:, :2]).astype(np.float64)
    return np.asarray(sides[:, 0] * sides[:, 1])


@lru_cache(maxsize=8)
def _windows(height: int, width: int) -> Windows:
    """Return every window on a thumbnail of this shape; cached, since a camera's frames are all of one shape."""
    short = min(height, width)
    made = []
    for share in SHARES:
        for aspect in ASPECTS:
            wide = min(width, round(share * short * aspect**0.5))
            high = min(height, round(share * short / aspect**0.5))
            step = max(1, round(STEP * min(wide, high)))
            lefts, tops = (np.unique([*range(0, most, step), most]) for most in (width - wide, height - high))
            corners = np.stack(np.meshgrid(lefts, tops), axis=-1).reshape(-1, 2)
            made.append(np.concatenate([corners, corners + np.array([wide, high])], axis=1))
    return np.concatenate(made)


def _in_frame(window: NDArray[np.int64], shape: tuple[int, ...], size: tuple[int, int]) -> Box:
    across, down = size[0] / shape[1], size[1] / shape[0]
    left, top, right, bottom = window.tolist()
    box = Box(int(left * across), int(top * down), int(-(-right * across // 1)), int(-(-bottom * down // 1)))
    return fitted(box, size)
