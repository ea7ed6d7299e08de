"""The card's pictures, made where the trained student is at hand and kept beside the metrics.

Only pictures of the recipe's `golden_source` are used: a card travels with its bundle, and photographs that are not the
project's own must not. The overlays are class activation maps (Zhou et al., CVPR 2016), exact here and without
gradients: the student's head is linear on a mean over places, so that each place's share of the cosine can be read off.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from sightline_export.augment import augment
from sightline_export.data import PhotoSet
from sightline_export.evaluation.corruptions import CORRUPTIONS, STRENGTHS, corrupt
from sightline_export.evaluation.questions import Rows, Vectors
from sightline_export.recipe import Recipe
from sightline_export.student import Student
from sightline_shared.preprocess import to_tensor

FOLDER = "card"
INDEX = "pictures.json"
OVERLAYS, GRID_ROWS, GRID_VIEWS = 6, 3, 7
SIDE, SMALL_SIDE = 176, 88
QUALITY = 78


def write_pictures(folder: Path, recipe: Recipe, photos: PhotoSet, vectors: Vectors, student: Student) -> int:
    """Write the pictures into `folder`/card and say in pictures.json what they show; returns how many.

    None without a `golden_source` that has photographs. `vectors` `(photographs, d)` are the shipped model's.
    """
    target = folder / FOLDER
    target.mkdir(parents=True, exist_ok=True)
    for old in (*target.glob("*.webp"), target / INDEX):
        old.unlink(missing_ok=True)
    rows = photos.where(source=recipe.golden_source) if recipe.golden_source else np.empty(0, dtype=np.int64)
    natural = np.array([row for row in rows if not photos.photos[row].studio], dtype=np.int64)
    if not len(natural):
        return 0
    chosen = natural[np.linspace(0, len(natural) - 1, OVERLAYS).astype(int)]
    index = {
        "overlays": _overlays(target, photos, vectors, student, chosen, rows),
        "views": _views(target, recipe, photos, chosen[:GRID_ROWS]),
        "corruptions": _corruptions(target, photos, int(chosen[0]), recipe.seed),
    }
    (target / INDEX).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
    return len(list(target.glob("*.webp")))


def activation_map(student: Student, pixels: NDArray[np.uint8], direction: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return each place's share `(h, w) float32` of the inner product of the student's output with `direction` `(d,)`.

    `pixels` `(s, s, 3) uint8`. Without the head's bias the shares sum up to the inner product of `direction` with the
    embedding before it is brought to length 1.
    """
    kept: list[Tensor] = []
    hook = student.backbone.head.register_forward_hook(lambda module, given, made: kept.append(made))
    try:
        with torch.inference_mode():
            student.eval()(torch.from_numpy(pixels[None].copy()))
    finally:
        hook.remove()
    features = kept[0][0]
    weights = student.head.weight.detach().T @ torch.from_numpy(direction)
    shares: NDArray[np.float32] = torch.einsum("chw,c->hw", features, weights).numpy()
    return shares / np.float32(shares.size)


def overlay(pixels: NDArray[np.uint8], shares: NDArray[np.float32]) -> Image.Image:
    """Return the picture with what speaks for the match in warm colours, brightest where it speaks most."""
    middle = max(float(np.median(shares)), 0.0)
    strength = np.maximum(shares - middle, 0) / max(float(shares.max()) - middle, 1e-9)
    size = (pixels.shape[1], pixels.shape[0])
    heat = np.asarray(
        Image.fromarray((strength * 255).astype(np.uint8)).resize(size, Image.Resampling.BICUBIC), np.float32
    )[..., None] / np.float32(255)
    grey = pixels.mean(axis=2, keepdims=True)
    warm = np.array([255, 96, 0], dtype=np.float32) * heat + np.array([20, 20, 60], dtype=np.float32) * (1 - heat)
    return Image.fromarray(np.clip(0.55 * grey + 0.5 * warm, 0, 255).astype(np.uint8))


def _overlays(
    target: Path, photos: PhotoSet, vectors: Vectors, student: Student, chosen: Rows, rows: Rows
) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    studio = np.array([row for row in rows if photos.photos[row].studio], dtype=np.int64)
    for place, row in enumerate(chosen.tolist()):
        among = studio if len(studio) else rows[rows != row]
        best = int(among[int((vectors[among] @ vectors[row]).argmax())])
        shares = activation_map(student, photos.tensors[row], vectors[best])
        names = [f"cam-{place}-{what}.webp" for what in ("photo", "map", "match")]
        for name, image in zip(
            names,
            (
                Image.fromarray(photos.tensors[row]),
                overlay(photos.tensors[row], shares),
                Image.fromarray(photos.tensors[best]),
            ),
            strict=True,
        ):
            _save(target / name, image, SIDE)
        found.append(
            {
                "files": names,
                "photo": photos.photos[row].fine,
                "match": photos.photos[best].fine,
                "cosine": round(float(vectors[row] @ vectors[best]), 3),
            }
        )
    return found


def _views(target: Path, recipe: Recipe, photos: PhotoSet, chosen: Rows) -> list[list[str]]:
    rng = np.random.default_rng(recipe.seed)
    grid: list[list[str]] = []
    for line, row in enumerate(chosen.tolist()):
        images = [Image.fromarray(photos.tensors[row])]
        images += [
            Image.fromarray(augment(photos.images[row], recipe.student.size, rng, recipe.augment))
            for _ in range(GRID_VIEWS)
        ]
        names = [f"view-{line}-{place}.webp" for place in range(len(images))]
        for name, image in zip(names, images, strict=True):
            _save(target / name, image, SMALL_SIDE)
        grid.append(names)
    return grid


def _corruptions(target: Path, photos: PhotoSet, row: int, seed: int) -> dict[str, list[str]]:
    pixels = np.asarray(photos.images[row], dtype=np.uint8)
    size = int(photos.tensors.shape[1])
    table: dict[str, list[str]] = {}
    for name in CORRUPTIONS:
        table[name] = [f"corrupt-{name}-{strength}.webp" for strength in STRENGTHS]
        for strength, file in zip(STRENGTHS, table[name], strict=True):
            dirty = Image.fromarray(corrupt(pixels, name, strength, seed + row))
            _save(target / file, Image.fromarray(to_tensor(dirty, size)), SMALL_SIDE)
    return table


def _save(path: Path, image: Image.Image, side: int) -> None:
    image.resize((side, side), Image.Resampling.LANCZOS).save(path, "WEBP", quality=QUALITY, method=6)
