"""Eight things that a camera does to a picture, at three strengths each, deterministic by seed.

They are for measuring, and are written apart from the augmentation on purpose: a student that was trained on one
formula of blur is not to be examined with the very same formula. Lengths are shares of the picture's short side, so
that a strength means the same on a large photograph and on a small one.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sightline_shared.errors import InputError

Pixels = NDArray[np.uint8]
STRENGTHS = (1, 2, 3)

DEFOCUS_RADIUS = (0.006, 0.012, 0.024)
MOTION_LENGTH = (0.02, 0.045, 0.09)
NOISE_SIGMA = (8.0, 16.0, 32.0)
JPEG_QUALITY = (30, 15, 7)
LIGHT = (1 / 2, 1 / 4, 1 / 8)
LIGHT_NOISE = (1.5, 3.0, 6.0)
COLOUR_CAST = (0.12, 0.25, 0.45)
ROTATION_DEGREES = (8.0, 16.0, 28.0)
PERSPECTIVE = (0.05, 0.10, 0.18)
COVERED = (0.10, 0.20, 0.35)
GAMMA = 2.2


def corrupt(pixels: Pixels, name: str, strength: int, seed: int) -> Pixels:
    """Return `pixels` `(h, w, 3) uint8` corrupted by `name` at `strength` 1 to 3; `seed` fixes every draw.

    Raises InputError for a name or strength that does not exist.
    """
    if name not in CORRUPTIONS or strength not in STRENGTHS:
        raise InputError(f"corruption: expected one of {sorted(CORRUPTIONS)} at 1 to 3, got '{name}' at {strength}.")
    rng = np.random.default_rng([seed, list(CORRUPTIONS).index(name), strength])
    return CORRUPTIONS[name](pixels, strength - 1, rng)


def defocus(pixels: Pixels, level: int, rng: np.random.Generator) -> Pixels:
    """Blur with a disc, as a lens out of focus does."""
    radius = DEFOCUS_RADIUS[level] * min(pixels.shape[:2])
    reach = math.ceil(radius)
    span = range(-reach, reach + 1)
    return _averaged(pixels, [(down, across) for down in span for across in span if math.hypot(down, across) <= radius])


def motion(pixels: Pixels, level: int, rng: np.random.Generator) -> Pixels:
    """Blur along a line in a random direction, as a moving hand does."""
    length = MOTION_LENGTH[level] * min(pixels.shape[:2])
    angle = rng.uniform(0, math.pi)
    steps = np.linspace(-length / 2, length / 2, 2 * math.ceil(length) + 1)
    shifts = [(round(math.sin(angle) * step), round(math.cos(angle) * step)) for step in steps]
    return _averaged(pixels, list(dict.fromkeys(shifts)))


def noise(pixels: Pixels, level: int, rng: np.random.Generator) -> Pixels:
    """Add sensor noise: its variance grows with the light (shot noise) above a floor (read noise)."""
    light = pixels.astype(np.float32)
    sigma = NOISE_SIGMA[level] * np.sqrt(0.25 + 0.75 * light / 127.5)
    return _clipped(light + sigma.astype(np.float32) * rng.standard_normal(pixels.shape, dtype=np.float32))


def jpeg(pixels: Pixels, level: int, rng: np.random.Generator) -> Pixels:
    """Compress hard, as a messenger does."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=JPEG_QUALITY[level])
    with Image.open(buffer) as image:
        return np.asarray(image.convert("RGB"), dtype=np.uint8)


def low_light(pixels: Pixels, level: int, rng: np.random.Generator) -> Pixels:
    """Take away light (one to three stops, in linear light), with the noise that comes with it."""
    linear = (pixels.astype(np.float32) / 255) ** GAMMA * LIGHT[level]
    dark = 255 * linear ** (1 / GAMMA)
    return _clipped(dark + LIGHT_NOISE[level] * rng.standard_normal(pixels.shape, dtype=np.float32))


def colour_cast(pixels: Pixels, level: int, rng: np.random.Generator) -> Pixels:
    """Set the white balance wrong, towards warm or cold: red and blue apart, green a little."""
    cast = COLOUR_CAST[level] * (1 if rng.random() < 0.5 else -1)
    gains = np.array([1 + cast, 1 + cast * rng.uniform(-0.3, 0.3), 1 - cast], dtype=np.float32)
    return _clipped(pixels.astype(np.float32) * gains)


def perspective(pixels: Pixels, level: int, rng: np.random.Generator) -> Pixels:
    """Turn and tilt the camera; what comes into view beside the picture is its mirror image."""
    height, width = pixels.shape[:2]
    angle = math.radians(ROTATION_DEGREES[level]) * (1 if rng.random() < 0.5 else -1)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], dtype=np.float64) * (width / 2, height / 2)
    quad = corners @ turn.T + rng.uniform(-1, 1, (4, 2)) * PERSPECTIVE[level] * (width, height)
    margin_y, margin_x = height // 2, width // 2
    wide = Image.fromarray(np.pad(pixels, ((margin_y, margin_y), (margin_x, margin_x), (0, 0)), mode="symmetric"))
    quad += (margin_x + width / 2, margin_y + height / 2)
    warped = wide.transform(
        (width, height), Image.Transform.PERSPECTIVE, _plane(width, height, quad), Image.Resampling.BICUBIC
    )
    return np.asarray(warped, dtype=np.uint8)


def occlusion(pixels: Pixels, level: int, rng: np.random.Generator) -> Pixels:
    """Cover a share of the picture with one flat colour, anywhere, as a price tag or a thumb does."""
    height, width = pixels.shape[:2]
    aspect = math.exp(rng.uniform(-0.4, 0.4))
    tall = min(height, max(1, round(height * math.sqrt(COVERED[level]) * aspect)))
    wide = min(width, max(1, round(height * width * COVERED[level] / tall)))
    top, left = int(rng.integers(0, height - tall + 1)), int(rng.integers(0, width - wide + 1))
    covered = pixels.copy()
    covered[top : top + tall, left : left + wide] = rng.integers(0, 256, 3, dtype=np.uint8)
    return covered


CORRUPTIONS: dict[str, Callable[[Pixels, int, np.random.Generator], Pixels]] = {
    "defocus": defocus,
    "motion": motion,
    "noise": noise,
    "jpeg": jpeg,
    "low_light": low_light,
    "colour_cast": colour_cast,
    "perspective": perspective,
    "occlusion": occlusion,
}


def _averaged(pixels: Pixels, shifts: Sequence[tuple[int, int]]) -> Pixels:
    """Return the mean of the picture's copies moved by (down, across) pixels; its edge is continued."""
    reach = max(1, *(abs(step) for shift in shifts for step in shift))
    height, width = pixels.shape[:2]
    wide = np.pad(pixels, ((reach, reach), (reach, reach), (0, 0)), mode="edge")
    total = np.zeros(pixels.shape, dtype=np.float32)
    for down, across in shifts:
        total += wide[reach + down : reach + down + height, reach + across : reach + across + width]
    return _clipped(total / np.float32(len(shifts)))


def _plane(width: int, height: int, quad: NDArray[np.float64]) -> tuple[float, ...]:
    """Return the eight coefficients of the plane mapping of a `width` x `height` picture onto `quad` `(4, 2)`."""
    rows, right = [], []
    for (x, y), (u, v) in zip([(0, 0), (width, 0), (width, height), (0, height)], quad, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        right += [u, v]
    return tuple(float(value) for value in np.linalg.solve(np.array(rows), np.array(right)))


def _clipped(values: NDArray[np.float32]) -> Pixels:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
