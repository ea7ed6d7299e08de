"""What does the embedding look at, the thing or what is around it? Backgrounds are removed and swapped, then the things.

Two kinds of pictures. "studio": a studio picture's object (near-white ground cut away) pasted on the surroundings of
other photographs; the mask is nearly right. "natural": a photograph's centred ellipse as its object (see
cutouts.py); a stand-in, so read its figures against each other and not as what a true mask would give.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from sightline_export.data import PhotoSet
from sightline_export.evaluate import Figure, Floats, mean_figure
from sightline_export.evaluation.cutouts import Mask, Pixels, ellipse_mask, fill_inside, grey_ground, paste, studio_mask
from sightline_export.evaluation.questions import Rows, Vectors
from sightline_export.evaluation.robustness import Embed
from sightline_shared.preprocess import to_tensor

KINDS = ("studio", "natural")


@dataclass(frozen=True, eq=False)
class Cutout:
    """A picture `(h, w, 3)`, its foreground `(h, w) bool`, and the photograph's row."""

    pixels: Pixels
    mask: Mask
    row: int


def counterfactuals(
    photos: PhotoSet, natural: Rows, vectors: Vectors, embed: Embed, count: int, seed: int
) -> dict[str, Figure]:
    """Return the figures of `count` studio pictures and `count` of the photographs `natural`; fewer where there are.

    For each picture: `background_removed` and `background_swapped` are the cosine of the changed picture to the
    original, `foreground_swapped` that of another object in the first one's place to the first. `object_wins` is the
    share of pictures that moved less when the background was swapped than when the object was; `top1_removed` and
    `top1_swapped` the share whose nearest other picture (for studio pictures: the picture itself) stays the same.
    """
    rng = np.random.default_rng(seed)
    if len(natural) < 2:
        return {}
    grounds = [_ground(photos, row) for row in rng.permutation(natural)[:count].tolist()]
    figures: dict[str, Figure] = {}
    for kind, cutouts in zip(KINDS, (_studio(photos, count, rng), _natural(photos, natural, count, rng)), strict=True):
        if len(cutouts) < 2:
            continue
        others = rng.permutation(len(grounds))
        rows = photos.where(studio=True) if kind == "studio" else natural
        table = _moves(cutouts, [grounds[index] for index in others], photos, vectors, rows, embed)
        data = f"{len(cutouts)} {'studio pictures, ground cut away' if kind == 'studio' else 'photographs, centred ellipse'}"
        figures |= {f"counterfactual.{kind}.{name}": mean_figure(values, data) for name, values in table.items()}
    return figures


def _moves(
    cutouts: Sequence[Cutout],
    grounds: Sequence[Pixels],
    photos: PhotoSet,
    vectors: Vectors,
    among: Rows,
    embed: Embed,
) -> dict[str, Floats]:
    size = int(photos.tensors.shape[1])
    studio = photos.photos[cutouts[0].row].studio
    values: dict[str, list[float]] = {}
    for place, one in enumerate(cutouts):
        other = cutouts[(place + 1) % len(cutouts)]
        ground = grounds[place % len(grounds)]
        original = vectors[one.row]
        # The object is swapped in the picture as it was: a studio object into the first one's white ground.
        own_ground = fill_inside(one.pixels, one.mask)
        removed = _embedded(grey_ground(one.pixels, one.mask), size, embed)
        swapped = _embedded(paste(one.pixels, one.mask, ground), size, embed)
        replaced = _embedded(paste(other.pixels, other.mask, own_ground), size, embed)
        row = {
            "background_removed": float(removed @ original),
            "background_swapped": float(swapped @ original),
            "foreground_swapped": float(replaced @ original),
            "object_wins": float(swapped @ original > replaced @ original),
        }
        candidates = among if studio else among[among != one.row]
        before = int((vectors[candidates] @ original).argmax())
        row["top1_removed"] = float((vectors[candidates] @ removed).argmax() == before)
        row["top1_swapped"] = float((vectors[candidates] @ swapped).argmax() == before)
        for name, value in row.items():
            values.setdefault(name, []).append(value)
    return {name: np.array(column, dtype=np.float64) for name, column in values.items()}


def _studio(photos: PhotoSet, count: int, rng: np.random.Generator) -> list[Cutout]:
    found = []
    for row in rng.permutation(photos.where(studio=True)).tolist():
        pixels = np.asarray(photos.images[row], dtype=np.uint8)
        mask = studio_mask(pixels)
        if mask is not None:
            found.append(Cutout(pixels, mask, row))
        if len(found) == count:
            break
    return found


def _natural(photos: PhotoSet, rows: Rows, count: int, rng: np.random.Generator) -> list[Cutout]:
    found = []
    for row in rng.permutation(rows)[:count].tolist():
        pixels = np.asarray(photos.images[row], dtype=np.uint8)
        found.append(Cutout(pixels, ellipse_mask(*pixels.shape[:2]), row))
    return found


def _ground(photos: PhotoSet, row: int) -> Pixels:
    pixels = np.asarray(photos.images[row], dtype=np.uint8)
    return fill_inside(pixels, ellipse_mask(*pixels.shape[:2]))


def _embedded(pixels: Pixels, size: int, embed: Embed) -> Vectors:
    row: Vectors = embed(to_tensor(Image.fromarray(pixels), size))[0]
    return row
