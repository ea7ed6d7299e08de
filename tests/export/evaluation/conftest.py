"""A small set of drawn photographs, and an embedder that a test can compute by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from sightline_export.data import Photo, PhotoSet
from sightline_shared.preprocess import to_tensor

SIZE = 48
COLOURS = ((220, 30, 30), (30, 60, 220), (240, 220, 40), (30, 180, 60))


def studio_picture(item: int) -> Image.Image:
    image = Image.new("RGB", (96, 96), "white")
    ImageDraw.Draw(image).ellipse((20, 20, 76, 76), fill=COLOURS[item])
    return image


def natural_picture(item: int, view: int) -> Image.Image:
    rng = np.random.default_rng(100 * item + view)
    ground = rng.integers(60, 200, 3) + rng.normal(0, 10, (96, 120, 3))
    image = Image.fromarray(np.clip(ground, 0, 255).astype(np.uint8))
    x, y, r = int(rng.integers(45, 75)), int(rng.integers(40, 56)), int(rng.integers(20, 30))
    ImageDraw.Draw(image).ellipse((x - r, y - r, x + r, y + r), fill=COLOURS[item])
    return image


def colour_vector(tensor: np.ndarray) -> np.ndarray:
    """The mean colour of the tensor's middle, centred, at length 1: `(1, 3) float32`."""
    middle = tensor[SIZE // 3 : -SIZE // 3, SIZE // 3 : -SIZE // 3].reshape(-1, 3).astype(np.float32)
    vector = middle.mean(axis=0) - 110
    return (vector / np.linalg.norm(vector))[None].astype(np.float32)


@pytest.fixture(scope="session")
def drawn() -> PhotoSet:
    """Four items: six training photographs, four test photographs and a studio picture of each; others from outside."""
    photos: list[Photo] = []
    images: list[Image.Image] = []

    def add(item: int, image: Image.Image, role: str, *, kind: str = "catalogue", studio: bool = False) -> None:
        source = "shop" if kind == "catalogue" else "others"
        fine = f"item{item}" if kind == "catalogue" else f"thing{item}"
        photos.append(
            Photo(Path(f"{len(photos)}.png"), source, kind, role, f"kind{item % 2}", fine, "", True, studio=studio)
        )
        images.append(image)

    for item in range(4):
        for view in range(6):
            add(item, natural_picture(item, view), "train")
        for view in range(6, 10):
            add(item, natural_picture(item, view), "test")
        add(item, studio_picture(item), "studio", studio=True)
        for view in range(10, 13):
            add(item, natural_picture(item, view), "train", kind="outside")
    tensors = np.stack([to_tensor(image, SIZE) for image in images])
    return PhotoSet(photos, images, tensors, [str(index) for index in range(len(photos))])


@pytest.fixture(scope="session")
def embed() -> Callable[[np.ndarray], np.ndarray]:
    return colour_vector


@pytest.fixture(scope="session")
def vectors(drawn: PhotoSet) -> np.ndarray:
    """The embeddings of the drawn photographs, `(n, 3) float32`."""
    return np.concatenate([colour_vector(tensor) for tensor in drawn.tensors])
