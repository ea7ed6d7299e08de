"""Masks and pasted pictures, pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from sightline_export.evaluation.cutouts import ellipse_mask, fill_inside, grey_ground, paste, studio_mask


def ring() -> np.ndarray:
    image = Image.new("RGB", (80, 60), "white")
    ImageDraw.Draw(image).ellipse((20, 10, 60, 50), outline=(200, 0, 0), width=8)
    return np.asarray(image)


def test_a_white_inside_that_the_border_does_not_reach_is_foreground() -> None:
    mask = studio_mask(ring())
    assert mask is not None
    assert mask[30, 40] and mask[30, 22] and not mask[5, 5] and not mask[30, 70]
    flood = Image.fromarray((ring().min(axis=2) >= 232).astype(np.uint8)).copy()
    ImageDraw.floodfill(flood, (0, 0), 2)
    assert np.array_equal(mask, np.asarray(flood) != 2)


def test_no_white_ground_no_mask() -> None:
    assert studio_mask(np.full((40, 40, 3), 90, np.uint8)) is None
    assert studio_mask(np.full((40, 40, 3), 255, np.uint8)) is None


def test_the_ellipse_covers_half() -> None:
    mask = ellipse_mask(90, 120)
    assert mask.mean() == pytest.approx(np.pi / 4 * 0.8**2, abs=0.01)
    assert np.array_equal(mask, mask[::-1, ::-1])


def test_filling_continues_what_is_around() -> None:
    flat = np.full((60, 80, 3), (30, 90, 200), np.uint8)
    mask = ellipse_mask(60, 80)
    marked = flat.copy()
    marked[mask] = 255
    filled = fill_inside(marked, mask)
    assert np.abs(filled.astype(int) - flat).max() <= 10
    assert np.array_equal(filled[~mask], flat[~mask])


def test_everything_covered_leaves_grey() -> None:
    mask = np.ones((20, 30), bool)
    assert (fill_inside(np.zeros((20, 30, 3), np.uint8), mask) == 127).all()


def test_pasting_keeps_the_object_and_takes_the_ground() -> None:
    mask = studio_mask(ring())
    assert mask is not None
    ground = np.full((10, 10, 3), (0, 200, 0), np.uint8)
    pasted = paste(ring(), mask, ground)
    assert pasted[30, 24].tolist() == ring()[30, 24].tolist()
    assert pasted[2, 2].tolist() == [0, 200, 0]
    assert grey_ground(ring(), mask)[2, 2].tolist() == [127, 127, 127]
