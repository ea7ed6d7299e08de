"""Real embeddings: the photographs of the packs and augmented views of them, through the device's own student.

The gallery is every natural photograph outside the test splits, `views` augmented views each; the queries are the test
splits, once each and unchanged.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sightline_bench.packs import Photo, read_pack
from sightline_edge import Device
from sightline_export.augment import augment
from sightline_export.recipe import Strength
from sightline_shared.preprocess import load_image, to_tensor

PACKS = ("shopfloor", "shopfloor_ood")
NOT_PHOTOGRAPHS = ("video", "neardup", "warp")  # clips, and copies of photographs that are there already


@dataclass(frozen=True, eq=False)
class Embeddings:
    """`views` `(photos, views, d) float16` of the gallery, `queries` `(q, d) float32`; all of unit length."""

    views: NDArray[np.float16]
    queries: NDArray[np.float32]


def read_photos(packs: Path) -> tuple[list[Photo], list[Photo]]:
    """Return the gallery's photographs and the queries'."""
    photos = [photo for pack in PACKS for photo in read_pack(packs / pack / "manifest.csv")]
    natural = [photo for photo in photos if photo.split not in NOT_PHOTOGRAPHS]
    gallery = [photo for photo in natural if photo.split != "test"]
    return gallery, [photo for photo in natural if photo.split == "test"]


def embed(packs: Path, device: Device, views: int, seed: int, progress: Callable[[int], None]) -> Embeddings:
    """Embed everything; about 7 ms of CPU a view. `progress` is told how many were added."""
    gallery, asked = read_photos(packs)
    size, dim = device.bundle.manifest.input_size, device.bundle.codec.dim
    strength = Strength()
    found = np.empty((len(gallery), views, dim), np.float16)
    for row, photo in enumerate(gallery):
        image = load_image(photo.path)
        rng = np.random.default_rng([seed, row])
        for view in range(views):
            pixels = to_tensor(image, size) if view == 0 else augment(image, size, rng, strength)
            found[row, view] = device.runtime.embed(pixels[np.newaxis])[0]
        progress(views)
    queries = np.empty((len(asked), dim), np.float32)
    for row, photo in enumerate(asked):
        queries[row] = device.runtime.embed(to_tensor(load_image(photo.path), size)[np.newaxis])[0]
        progress(1)
    return Embeddings(found, queries)
