"""The camera augmentation: shapes, ranges, repeatability, and a warp that hits its corners."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from sightline_export import augment as module
from sightline_export.augment import Strength, augment, motion_blur, perspective_coefficients

Draw = Callable[..., Image.Image]


@pytest.mark.parametrize("size", [(120, 96), (40, 300), (1600, 1200), (3, 3)])
def test_every_picture_becomes_a_view(size: tuple[int, int], draw: Draw) -> None:
    image = draw(0, 0, size) if min(size) > 90 else Image.new("RGB", size, "red")
    for seed in range(12):
        view = augment(image, 64, np.random.default_rng(seed), Strength())
        assert view.shape == (64, 64, 3) and view.dtype == np.uint8


def test_a_view_depends_on_the_generator_alone(draw: Draw) -> None:
    image = draw(1, 1)
    first, again, other = (augment(image, 64, np.random.default_rng(seed), Strength()) for seed in (5, 5, 6))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_the_perspective_maps_corners_to_the_quad() -> None:
    quad = np.array([[3.0, 4.0], [90.0, 2.0], [95.0, 80.0], [1.0, 85.0]])
    a, b, c, d, e, f, g, h = perspective_coefficients(64, quad)
    for (x, y), (u, v) in zip([(0, 0), (64, 0), (64, 64), (0, 64)], quad, strict=True):
        w = g * x + h * y + 1
        assert np.allclose([(a * x + b * y + c) / w, (d * x + e * y + f) / w], [u, v])


def test_motion_blur_keeps_the_light_and_lowers_the_detail(draw: Draw) -> None:
    image = draw(3, 2)
    blurred = np.asarray(motion_blur(image, 6, 0.7), dtype=np.float32)
    sharp = np.asarray(image, dtype=np.float32)
    assert abs(blurred.mean() - sharp.mean()) < 1.0
    assert blurred.std() < sharp.std()


def test_noise_jpeg_and_occlusion_change_pixels_within_range(draw: Draw) -> None:
    pixels = np.asarray(draw(2, 3), dtype=np.uint8)
    for change in (module.add_noise, module.recompress, module.occlude):
        changed = change(pixels, np.random.default_rng(1))
        assert changed.shape == pixels.shape and changed.dtype == np.uint8 and not np.array_equal(changed, pixels)
