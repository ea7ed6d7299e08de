"""The camera augmentation: shapes, ranges, repeatability, and a warp that hits its corners."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from sightline_export import augment as module
from sightline_export.augment import augment, defocus, motion_blur, perspective_coefficients
from sightline_export.recipe import Strength

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


def test_defocus_spreads_a_point_over_a_disc_and_keeps_its_light() -> None:
    point = np.zeros((21, 21, 3), dtype=np.uint8)
    point[10, 10] = 255
    spread = np.asarray(defocus(Image.fromarray(point), 5), dtype=np.float64)[..., 0]
    assert abs(spread.sum() - 255) < 20
    assert spread[10, 12] > 0 and spread[10, 13] == 0 and spread[8, 8] < spread[10, 12]


def test_the_background_is_replaced_as_often_as_the_recipe_says(draw: Draw) -> None:
    still = Strength(
        crop_area=(1.0, 1.0), flip=0, warp=0, colour=0, blur=0, noise=0, jpeg=0, occlusion=0, background=0.5
    )
    image, white = draw(0, 0), Image.new("RGB", (64, 64), "white")
    plain = augment(image, 64, np.random.default_rng(0), still)
    views = [augment(image, 64, np.random.default_rng(seed), still, background=white) for seed in range(40)]
    corners = [bool(np.abs(view[0, 0].astype(int) - plain[0, 0]).max() > 40) for view in views]
    assert 8 <= sum(corners) <= 32
