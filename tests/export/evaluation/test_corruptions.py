"""Each corruption: the same by seed, of the same shape, worse with strength, and what its name says."""

from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image

from sightline_export.evaluation.corruptions import CORRUPTIONS, COVERED, DEFOCUS_RADIUS, LIGHT, STRENGTHS, corrupt
from sightline_shared.errors import InputError


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8))
    return np.asarray(coarse.resize((256, 192), Image.Resampling.BICUBIC), dtype=np.uint8)


def difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(float) - b.astype(float)).mean())


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_deterministic_same_shape_and_worse_with_strength(name: str, picture: np.ndarray) -> None:
    before = picture.copy()
    harm = []
    for strength in STRENGTHS:
        one, again = corrupt(picture, name, strength, 7), corrupt(picture, name, strength, 7)
        assert one.shape == picture.shape and one.dtype == np.uint8
        assert np.array_equal(one, again)
        harm.append(np.mean([difference(picture, corrupt(picture, name, strength, seed)) for seed in range(8)]))
    assert 0 < harm[0] < harm[1] < harm[2]
    assert np.array_equal(picture, before)


@pytest.mark.parametrize("name", ["motion", "noise", "low_light", "colour_cast", "perspective", "occlusion"])
def test_another_seed_is_another_picture(name: str, picture: np.ndarray) -> None:
    assert any(
        not np.array_equal(corrupt(picture, name, 2, 0), corrupt(picture, name, 2, seed)) for seed in range(1, 6)
    )


def test_defocus_is_the_mean_over_a_disc(picture: np.ndarray) -> None:
    large = np.repeat(np.repeat(picture, 2, axis=0), 2, axis=1)
    found = corrupt(large, "defocus", 3, 0)
    radius, y, x = DEFOCUS_RADIUS[2] * 384, 200, 260
    reach = math.ceil(radius)
    inside = [
        large[y + down, x + across].astype(float)
        for down in range(-reach, reach + 1)
        for across in range(-reach, reach + 1)
        if down * down + across * across <= radius * radius
    ]
    assert np.abs(np.mean(inside, axis=0) - found[y, x]).max() <= 0.51


def test_low_light_takes_stops_of_linear_light() -> None:
    grey = np.full((64, 64, 3), 180, np.uint8)
    for strength, share in zip(STRENGTHS, LIGHT, strict=True):
        dark = corrupt(grey, "low_light", strength, 1).astype(float).mean()
        assert (dark / 180) ** 2.2 == pytest.approx(share, rel=0.05)


def test_occlusion_covers_the_share_it_says(picture: np.ndarray) -> None:
    black = np.zeros((120, 160, 3), np.uint8)
    for strength, share in zip(STRENGTHS, COVERED, strict=True):
        covered = (corrupt(black, "occlusion", strength, 3) > 0).any(axis=2).mean()
        assert covered == pytest.approx(share, rel=0.08)


def test_a_length_is_a_share_of_the_short_side(picture: np.ndarray) -> None:
    small = np.asarray(Image.fromarray(picture), np.uint8)
    large = np.asarray(Image.fromarray(picture).resize((1024, 768), Image.Resampling.BICUBIC), np.uint8)
    blurred = Image.fromarray(corrupt(large, "defocus", 3, 0)).resize((256, 192), Image.Resampling.BOX)
    assert difference(np.asarray(blurred), corrupt(small, "defocus", 3, 0)) < 2.5


def test_a_flat_picture_stays_flat_under_geometry_and_blur() -> None:
    flat = np.full((60, 80, 3), (10, 120, 240), np.uint8)
    for name in ("defocus", "motion", "perspective"):
        assert difference(flat, corrupt(flat, name, 3, 5)) == 0


@pytest.mark.parametrize(("name", "strength"), [("rain", 1), ("noise", 0), ("noise", 4)])
def test_what_does_not_exist_is_refused(name: str, strength: int, picture: np.ndarray) -> None:
    with pytest.raises(InputError, match="expected one of"):
        corrupt(picture, name, strength, 0)
