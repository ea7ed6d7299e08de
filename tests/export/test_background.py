"""Another background: the thing stays, what is behind it goes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

from sightline_export.background import foreground_mask, plain_border_mask, replace_background


def packshot() -> Image.Image:
    """A dark ring with a white hole, on white."""
    image = Image.new("RGB", (200, 160), (250, 250, 250))
    ImageDraw.Draw(image).ellipse((50, 30, 150, 130), fill=(160, 20, 20), outline=(10, 10, 10))
    ImageDraw.Draw(image).ellipse((85, 65, 115, 95), fill=(250, 250, 250))
    return image


def test_the_plain_border_is_background_and_a_hole_is_not() -> None:
    mask = np.asarray(foreground_mask(packshot(), np.random.default_rng(0)))
    assert mask.shape == (160, 200)
    assert mask[80, 60] > 250 and mask[80, 100] > 250  # the ring, and the white inside it
    assert mask[5, 5] < 5 and mask[80, 20] < 5


def test_a_busy_border_gets_the_ellipse(draw: Callable[..., Image.Image]) -> None:
    busy = Image.fromarray(np.random.default_rng(0).integers(0, 256, (96, 120, 3), dtype=np.uint8))
    assert plain_border_mask(np.asarray(busy.resize((64, 64)), dtype=np.int16)) is None
    mask = np.asarray(foreground_mask(busy, np.random.default_rng(0)))
    assert mask[48, 60] == 255 and mask[0, 0] == 0


def test_an_empty_picture_gets_the_ellipse_too() -> None:
    blank = np.asarray(Image.new("RGB", (64, 64), "white"), dtype=np.int16)
    assert plain_border_mask(blank) is None


def test_the_thing_stays_and_the_background_changes(draw: Callable[..., Image.Image]) -> None:
    image, other = packshot(), draw(1, 1)
    seen = set()
    for seed in range(12):
        changed = np.asarray(replace_background(image, other, np.random.default_rng(seed)))
        assert np.abs(changed[80, 60].astype(int) - np.asarray(image)[80, 60]).max() <= 2
        seen.add(tuple(changed[3, 3].tolist()))
    assert (255, 255, 255) in seen and len(seen) > 4
