"""The perceptual hash: alike frames are near, others far, and its bits mean what the docstring says."""

import itertools

import numpy as np
import pytest
from support.tiny_bundle import picture

from sightline_shared.phash import BITS, dhash, hamming
from sightline_shared.preprocess import load_image, luma, to_tensor


def tensor(seed: int, view: int = 0) -> np.ndarray:
    return to_tensor(load_image(picture(seed, view=view)), 192)


def slow(pixels: np.ndarray) -> int:
    """Cell by cell, as it is described."""
    height, width, _ = pixels.shape
    luma = 0.299 * pixels[..., 0] + 0.587 * pixels[..., 1] + 0.114 * pixels[..., 2]
    bits = 0
    for row in range(8):
        cells = [
            luma[row * height // 8 : (row + 1) * height // 8, column * width // 9 : (column + 1) * width // 9].mean()
            for column in range(9)
        ]
        for left, right in itertools.pairwise(cells):
            bits = bits << 1 | int(right > left)
    return bits


@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_hash_that_is_described(seed: int) -> None:
    assert hamming(dhash(luma(tensor(seed))), slow(tensor(seed))) <= 1  # float32 against float64 where cells are equal
    odd = np.random.default_rng(seed).integers(0, 256, (101, 67, 3), dtype=np.uint8)
    assert dhash(luma(odd)) == slow(odd) and 0 <= dhash(luma(odd)) < 1 << BITS


def test_alike_frames_are_near_and_others_far() -> None:
    hashes = [dhash(luma(tensor(n))) for n in range(21)]
    alike = [hamming(hashes[n], dhash(luma(tensor(n, view=1)))) for n in range(20)]
    others = [hamming(hashes[n], hashes[n + 1]) for n in range(20)]
    assert np.median(alike) <= 8 and min(others) >= 16
    assert hamming(0, (1 << 64) - 1) == 64 and hamming(5, 5) == 0
