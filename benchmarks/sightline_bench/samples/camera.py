"""What a phone camera does to a scene: light, colour cast, blur, noise and JPEG."""

from __future__ import annotations

from io import BytesIO
from math import cos, sin
from statistics import NormalDist

import numpy as np
from PIL import Image, ImageChops, ImageFilter

from .canvas import Point, field

_QUANTILES = [NormalDist().inv_cdf((k + 0.5) / 256) for k in range(256)]


def jpeg(image: Image.Image, quality: int) -> Image.Image:
    """Return image after one JPEG round trip at quality in 1..95, RGB."""
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    decoded = Image.open(buffer)
    decoded.load()
    return decoded.convert("RGB")


def shifted(image: Image.Image, dx: float, dy: float) -> Image.Image:
    """Return image moved by (dx, dy) px with its border repeated."""
    moved = ImageChops.offset(image, round(dx), round(dy))
    w, h, x, y = image.width, image.height, round(dx), round(dy)
    if x:
        edge = image.crop((0, 0, 1, h)) if x > 0 else image.crop((w - 1, 0, w, h))
        moved.paste(edge.resize((abs(x), h)), (0 if x > 0 else w + x, 0))
    if y:
        edge = image.crop((0, 0, w, 1)) if y > 0 else image.crop((0, h - 1, w, h))
        moved.paste(edge.resize((w, abs(y))), (0, 0 if y > 0 else h + y))
    return moved


def motion(image: Image.Image, length_px: float, angle: float) -> Image.Image:
    """Return image smeared over length_px along angle (radians), by halving blends."""
    step = length_px / 2.0
    while step >= 1.0:
        dx, dy = step * cos(angle), step * sin(angle)
        image = Image.blend(shifted(image, dx / 2, dy / 2), shifted(image, -dx / 2, -dy / 2), 0.5)
        step /= 2.0
    return image


def relight(image: Image.Image, rng: np.random.Generator, difficulty: float) -> Image.Image:
    """Return image under an uneven light with a colour temperature and an exposure error."""
    depth = 0.15 + 0.35 * difficulty
    lamp = field(rng, (2, 3), image.size).point([int(255 - depth * (255 - v)) for v in range(256)])
    image = ImageChops.multiply(image, Image.merge("RGB", (lamp, lamp, lamp)))
    warm = float(rng.normal(0.0, 0.10)) * (0.4 + difficulty)
    tint = float(rng.normal(0.0, 0.03)) * (0.4 + difficulty)
    gain = float(np.exp(0.08 + 0.18 * difficulty + rng.normal(0.0, 0.18) * (0.4 + difficulty)))
    gamma = float(np.exp(rng.normal(0.0, 0.16) * (0.4 + difficulty)))
    lift = float(rng.uniform(0.0, 0.05)) * difficulty
    tables: list[int] = []
    for scale in (gain * (1 + warm), gain * (1 + tint), gain * (1 - warm)):
        level = np.clip(scale * np.linspace(0.0, 1.0, 256), 0.0, None) ** gamma
        level = np.where(level > 0.8, 0.8 + 0.2 * np.tanh((level - 0.8) / 0.25), level)
        tables += [int(v) for v in np.clip(255 * (lift + (1 - lift) * level), 0, 255)]
    return image.point(tables)


def _noise_table(sigma: float) -> list[int]:
    """Return the table that carries even bytes onto normal noise around 128."""
    return [max(0, min(255, round(128 + sigma * q))) for q in _QUANTILES]


def sensor(image: Image.Image, rng: np.random.Generator, strength: float) -> Image.Image:
    """Return image with luminance noise of strength (standard deviation in 8-bit steps)."""
    w, h = image.size
    grain = Image.fromarray(rng.integers(0, 256, (h, w), dtype=np.uint8)).point(_noise_table(0.8 * strength))
    small = rng.integers(0, 256, ((h + 1) // 2, (w + 1) // 2, 3), dtype=np.uint8)
    blotch = Image.fromarray(small).point(_noise_table(0.7 * strength) * 3)
    blotch = blotch.resize((w, h), Image.Resampling.NEAREST)
    noisy = ImageChops.add(image, Image.merge("RGB", (grain, grain, grain)), 1.0, -128)
    return ImageChops.add(noisy, blotch, 1.0, -128)


def photograph(image: Image.Image, rng: np.random.Generator, difficulty: float) -> Image.Image:
    """Return the RGB scene as a phone would store it; difficulty in 0..1 scales every fault."""
    image = relight(image, rng, difficulty)
    if rng.random() < 0.25 + 0.2 * difficulty:
        image = motion(image, float(rng.uniform(2, 3 + 7 * difficulty)), float(rng.uniform(0, np.pi)))
    else:
        image = image.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.2, 0.5 + 1.3 * difficulty))))
    image = sensor(image, rng, float(rng.uniform(1.0, 3.0 + 9.0 * difficulty)))
    return jpeg(image, int(rng.uniform(88 - 45 * difficulty, 93)))


def jittered_quad(
    rng: np.random.Generator,
    centre: Point,
    size: tuple[float, float],
    roll: float,
    jitter: float,
) -> list[Point]:
    """Return a rotated, sheared and foreshortened rectangle (TL, TR, BR, BL in px)."""
    w, h = size[0] / 2, size[1] / 2
    shear = float(rng.normal(0.0, 0.5 * jitter))
    turn = rng.uniform(-jitter, jitter, (4, 2))
    quad: list[Point] = []
    for k, (x, y) in enumerate(((-w, -h), (w, -h), (w, h), (-w, h))):
        px = x + shear * y + float(turn[k, 0]) * 2 * w
        py = y + float(turn[k, 1]) * 2 * h
        quad.append(
            (
                centre[0] + px * cos(roll) - py * sin(roll),
                centre[1] + px * sin(roll) + py * cos(roll),
            )
        )
    return quad
