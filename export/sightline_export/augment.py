"""What a phone's camera does to a picture: crops, light, blur, noise, JPEG, perspective, fingers.

All on PIL and numpy, from an explicit random generator, so that a view depends on (seed, step, index) alone.
"""

from __future__ import annotations

import io
import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from sightline_export.background import replace_background
from sightline_export.recipe import Strength

FILL = (127, 127, 127)


def augment(
    image: Image.Image,
    size: int,
    rng: np.random.Generator,
    strength: Strength,
    *,
    background: Image.Image | None = None,
) -> NDArray[np.uint8]:
    """Return one camera view of `image`: `(size, size, 3) uint8`; `background` may stand behind it."""
    if background is not None and rng.random() < strength.background:
        image = replace_background(image, background, rng)
    view = random_view(image, size, rng, strength)
    if rng.random() < strength.blur:
        view = blur(view, rng)
    pixels = np.asarray(view, dtype=np.uint8)
    if rng.random() < strength.colour:
        pixels = colour(pixels, rng, strength)
    if rng.random() < strength.occlusion:
        pixels = occlude(pixels, rng)
    if rng.random() < strength.noise:
        pixels = add_noise(pixels, rng)
    if rng.random() < strength.jpeg:
        pixels = recompress(pixels, rng)
    return pixels


def random_view(image: Image.Image, size: int, rng: np.random.Generator, strength: Strength) -> Image.Image:
    """Crop at random and resize; half of the time with rotation and perspective in the same single warp."""
    left, top, width, height = _crop_box(image.size, rng, strength)
    mirrored = rng.random() < strength.flip
    if rng.random() >= strength.warp:
        view = image.resize((size, size), Image.Resampling.BILINEAR, box=(left, top, left + width, top + height))
        return view.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored else view
    angle = math.radians(rng.uniform(-strength.rotation_degrees, strength.rotation_degrees))
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], dtype=np.float64)
    corners += rng.uniform(-strength.perspective, strength.perspective, (4, 2))
    if mirrored:
        corners[:, 0] *= -1
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    quad = (corners @ turn.T) * (width / 2, height / 2) + (left + width / 2, top + height / 2)
    coefficients = perspective_coefficients(size, quad)
    # PIL's perspective transform does not antialias: shrink large pictures to about the target first.
    shrink = min(width, height) / size
    if shrink > 1.5:
        image = image.resize((round(image.width / shrink), round(image.height / shrink)), Image.Resampling.BOX)
        coefficients = perspective_coefficients(size, quad / shrink)
    return image.transform(
        (size, size), Image.Transform.PERSPECTIVE, coefficients, Image.Resampling.BILINEAR, fillcolor=FILL
    )


def perspective_coefficients(size: int, quad: NDArray[np.float64]) -> tuple[float, ...]:
    """Return PIL's eight coefficients that map a square of `size` to `quad` `(4, 2)`, clockwise from top left."""
    target = np.array([[0, 0], [size, 0], [size, size], [0, size]], dtype=np.float64)
    rows, right = [], []
    for (x, y), (u, v) in zip(target, quad, strict=True):
        rows.append([x, y, 1, 0, 0, 0, -u * x, -u * y])
        rows.append([0, 0, 0, x, y, 1, -v * x, -v * y])
        right += [u, v]
    return tuple(float(value) for value in np.linalg.solve(np.array(rows), np.array(right)))


def colour(pixels: NDArray[np.uint8], rng: np.random.Generator, strength: Strength) -> NDArray[np.uint8]:
    """Change exposure, contrast, white balance and saturation of `(h, w, 3) uint8`."""
    x = pixels.astype(np.float32)
    gains = rng.uniform(1 - strength.white_balance, 1 + strength.white_balance, 3)
    gains *= math.exp(rng.uniform(-strength.exposure, strength.exposure))
    x *= gains.astype(np.float32)
    grey = (x @ np.array([0.299, 0.587, 0.114], dtype=np.float32))[..., None]
    x = grey + (x - grey) * np.float32(rng.uniform(1 - strength.saturation, 1 + strength.saturation))
    middle = np.float32(grey.mean())
    x = middle + (x - middle) * np.float32(rng.uniform(1 - strength.contrast, 1 + strength.contrast))
    return np.clip(x, 0, 255).astype(np.uint8)


def blur(view: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Blur by defocus (a disc, or a Gaussian for the small ones), or by motion along one direction."""
    choice = rng.random()
    if choice < 0.25:
        return view.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.4, 1.6))))
    if choice < 0.5:
        return defocus(view, diameter=int(rng.choice([3, 5])))
    return motion_blur(view, length=int(rng.integers(2, 7)), angle=float(rng.uniform(0, math.pi)))


def defocus(view: Image.Image, diameter: int) -> Image.Image:
    """Spread every point over a disc of `diameter` (3 or 5) pixels, as a lens out of focus does."""
    middle = (diameter - 1) / 2
    y, x = np.mgrid[:diameter, :diameter] - middle
    # A pixel on the rim counts by about how much of it the disc covers.
    weights = np.clip(diameter / 2 + 0.5 - np.hypot(x, y), 0, 1)
    return view.filter(ImageFilter.Kernel((diameter, diameter), [float(value) for value in weights.ravel()]))


def motion_blur(view: Image.Image, length: int, angle: float) -> Image.Image:
    """Average `length` copies shifted along `angle` (radians), as a moving hand does."""
    pixels = np.asarray(view, dtype=np.float32)
    total = np.zeros_like(pixels)
    for step in range(length):
        distance = step - (length - 1) / 2
        shift = (round(math.sin(angle) * distance), round(math.cos(angle) * distance))
        total += np.roll(pixels, shift, axis=(0, 1))
    return Image.fromarray((total / length).astype(np.uint8))


def add_noise(pixels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Add sensor noise: Gaussian, one standard deviation of 2 to 12 levels."""
    noise = rng.standard_normal(pixels.shape, dtype=np.float32) * np.float32(rng.uniform(2, 12))
    return np.clip(pixels + noise, 0, 255).astype(np.uint8)


def recompress(pixels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Pass through JPEG at quality 35 to 85."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=int(rng.integers(35, 86)))
    with Image.open(buffer) as image:
        return np.asarray(image.convert("RGB"), dtype=np.uint8)


def occlude(pixels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Cover a rectangle of up to a third of each side with one colour, as a finger or a price tag does."""
    result = pixels.copy()
    height, width = pixels.shape[:2]
    tall, wide = (int(rng.integers(side // 10, side // 3)) for side in (height, width))
    top, left = int(rng.integers(0, height - tall)), int(rng.integers(0, width - wide))
    result[top : top + tall, left : left + wide] = rng.integers(0, 256, 3, dtype=np.uint8)
    return result


def _crop_box(size: tuple[int, int], rng: np.random.Generator, strength: Strength) -> tuple[float, float, float, float]:
    """Return (left, top, width, height) of a random crop with an aspect of 3:4 to 4:3."""
    width, height = size
    area = width * height * rng.uniform(strength.crop_area[0], strength.crop_area[1])
    aspect = math.exp(rng.uniform(-math.log(4 / 3), math.log(4 / 3)))
    crop_width = min(width, math.sqrt(area * aspect))
    crop_height = min(height, math.sqrt(area / aspect))
    left = rng.uniform(0, width - crop_width) if crop_width < width else 0.0
    top = rng.uniform(0, height - crop_height) if crop_height < height else 0.0
    return left, top, crop_width, crop_height
