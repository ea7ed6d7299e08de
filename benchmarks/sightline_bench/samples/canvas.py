"""The sprite canvas, the pose of a view and small geometry helpers shared by all drawers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import dist

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from sightline_shared.errors import InputError

RGB = tuple[int, int, int]
Point = tuple[float, float]
Floats = NDArray[np.float32]

SPRITE_WIDTH = 480
SPRITE_HEIGHT = 640
GROUND_Y = 606
CENTRE_X = 240.0


class SampleError(InputError):
    """A request for a sample that cannot be drawn; the message says expected and got."""


@dataclass(frozen=True)
class Pose:
    """How a sprite is looked at: yaw in radians, tilt = sine of the pitch, light in -1..1."""

    yaw: float = 0.0
    tilt: float = 0.10
    light: float = -0.45


def new_sprite() -> Image.Image:
    """Return an empty RGBA sprite of 480 x 640 px."""
    return Image.new("RGBA", (SPRITE_WIDTH, SPRITE_HEIGHT), (0, 0, 0, 0))


@lru_cache(maxsize=128)
def font(size_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return the face that ships inside Pillow at size_px."""
    return ImageFont.load_default(size=size_px)


def mix(a: RGB, b: RGB, t: float) -> RGB:
    """Blend colour a towards b by t in 0..1."""
    return (
        round(a[0] + (b[0] - a[0]) * t),
        round(a[1] + (b[1] - a[1]) * t),
        round(a[2] + (b[2] - a[2]) * t),
    )


def luma(colour: RGB) -> float:
    """Return the perceived lightness of colour in 0..255."""
    return 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]


def fit_text(
    draw: ImageDraw.ImageDraw,
    box: tuple[float, float, float, float],
    text: str,
    fill: RGB,
    *,
    weight: int = 0,
) -> None:
    """Write text as large as box (x0, y0, x1, y1 in px) allows, centred; weight thickens it."""
    x0, y0, x1, y1 = box
    if not text or x1 - x0 < 6 or y1 - y0 < 5:
        return
    unit = font(40).getlength(text) / 40.0
    size = max(5, int(min((x1 - x0) / max(unit, 0.1), (y1 - y0) * 1.25)))
    draw.text(
        ((x0 + x1) / 2, (y0 + y1) / 2),
        text,
        fill=fill,
        font=font(size),
        anchor="mm",
        stroke_width=weight * size / 40.0,
        stroke_fill=fill,
    )


def spline(points: Sequence[Point], steps: int = 8) -> list[Point]:
    """Return a closed Catmull-Rom curve through points, steps samples per span."""
    p = np.asarray(points, dtype=np.float64)
    t = (np.arange(steps) / steps)[None, :, None]
    a, b, c, d = (np.roll(p, k, axis=0)[:, None, :] for k in (1, 0, -1, -2))
    curve = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
    return [(float(x), float(y)) for x, y in curve.reshape(-1, 2)]


def perspective_coefficients(source: Sequence[Point], target: Sequence[Point]) -> list[float]:
    """Return the 8 numbers of PIL's PERSPECTIVE transform from source to target corners."""
    rows = []
    for (sx, sy), (tx, ty) in zip(source, target, strict=True):
        rows.append([tx, ty, 1, 0, 0, 0, -sx * tx, -sx * ty])
        rows.append([0, 0, 0, tx, ty, 1, -sy * tx, -sy * ty])
    right = np.asarray(source, dtype=np.float64).reshape(8)
    return [float(v) for v in np.linalg.solve(np.asarray(rows, dtype=np.float64), right)]


def paste_quad(
    canvas: Image.Image,
    picture: Image.Image,
    quad: Sequence[Point],
    resample: Image.Resampling = Image.Resampling.BILINEAR,
) -> None:
    """Paint picture onto an RGBA canvas so that its corners land on quad (TL, TR, BR, BL in px)."""
    xs, ys = [p[0] for p in quad], [p[1] for p in quad]
    left, top = max(0, int(min(xs)) - 1), max(0, int(min(ys)) - 1)
    right = min(canvas.width, int(max(xs)) + 2)
    bottom = min(canvas.height, int(max(ys)) + 2)
    if right <= left or bottom <= top:
        return
    wide = int(max(dist(quad[0], quad[1]), dist(quad[3], quad[2])))
    tall = int(max(dist(quad[0], quad[3]), dist(quad[1], quad[2])))
    if picture.width < wide or picture.height < tall:
        picture = picture.resize((max(picture.width, wide), max(picture.height, tall)), Image.Resampling.BILINEAR)
    w, h = picture.size
    local = [(x - left, y - top) for x, y in quad]
    # A clear rim of one pixel gives soft edges; half of it lies inside, so that seams stay closed.
    rimmed = Image.new("RGBA", (w + 2, h + 2), (0, 0, 0, 0))
    rimmed.paste(picture, (1, 1))
    near, right_in, low_in = 0.5, w + 1.5, h + 1.5
    corners = [(near, near), (right_in, near), (right_in, low_in), (near, low_in)]
    coefficients = perspective_coefficients(corners, local)
    warped = rimmed.transform((right - left, bottom - top), Image.Transform.PERSPECTIVE, coefficients, resample)
    canvas.alpha_composite(warped, (left, top))


def scaled_light(picture: Image.Image, factor: float) -> Image.Image:
    """Return picture with its RGB values multiplied by factor and clipped."""
    return picture.point([min(255, int(v * factor)) for v in range(256)] * len(picture.getbands()))


def field(rng: np.random.Generator, cells: tuple[int, int], size: tuple[int, int]) -> Image.Image:
    """Return smooth noise as an L image of size px, grown from cells (columns, rows) of values."""
    small = rng.integers(0, 256, (cells[1], cells[0]), dtype=np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)
