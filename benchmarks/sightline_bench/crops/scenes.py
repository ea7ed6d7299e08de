"""Cluttered frames of 640 x 480, composed of single pictures: several things, a small thing, crates side by side.

The packs hold photographs of one thing each, and no frame with several labelled ones, so frames are composed: soft-edged
photographs of things from the catalogue lie on a rendered place or on a mosaic of photographs from outside the
catalogue, and in half of the frames a rendered hand reaches in.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from sightline_bench.samples.backgrounds import backdrop
from sightline_bench.samples.hands import add_hand
from sightline_shared.preprocess import Frame, load_image

FRAME = (640, 480)
# A thing's side as a share of the frame's height.
SMALL, MIDDLE = (0.25, 0.5), (0.35, 0.6)
ATTEMPTS = 200
HAND_SHARE = 0.5
MOSAIC_COLUMNS, MOSAIC_ROWS = 3, 2

Place = tuple[int, int, int, int]


@dataclass(frozen=True, eq=False)
class Thing:
    """Something to put into a frame: `label` as the gallery has it ("" for a stranger), `draw(width, height)` RGBA."""

    label: str
    draw: Callable[[int, int], Image.Image]


@dataclass(frozen=True, eq=False)
class Scene:
    """A frame, and the labels of what is in it; without any it is to be answered "no visual match"."""

    image: Image.Image
    labels: frozenset[str]


Ground = Callable[[np.random.Generator], Image.Image]


def scattered(
    rng: np.random.Generator, things: Sequence[Thing], count: int, sides: tuple[float, float], ground: Ground
) -> Scene:
    """Return a frame with up to `count` things of different labels lying apart on `ground`."""
    image = ground(rng).convert("RGB")
    places: list[Place] = []
    chosen = pick(rng, things, count)
    for thing in chosen:
        place = _free_place(rng, places, sides)
        if place is None:
            break
        patch = thing.draw(place[2] - place[0], place[3] - place[1])
        image.paste(patch, place[:2], patch)
        places.append(place)
    if rng.random() < HAND_SHARE:
        left, top, right, bottom = places[int(rng.integers(len(places)))]
        layer = image.convert("RGBA")
        add_hand(layer, rng, ((left + right) / 2, (top + bottom) / 2), 0.3)
        image = layer.convert("RGB")
    return Scene(image, frozenset(thing.label for thing in chosen[: len(places)] if thing.label))


def crates(rng: np.random.Generator, things: Sequence[Thing]) -> Scene:
    """Return a frame that four things of different labels fill, as crates in a shop do."""
    width, height = FRAME
    image = Image.new("RGB", FRAME)
    x, y = int(width * rng.uniform(0.4, 0.6)), int(height * rng.uniform(0.4, 0.6))
    chosen = pick(rng, things, 4)
    for thing, (left, top, right, bottom) in zip(
        chosen, [(0, 0, x, y), (x, 0, width, y), (0, y, x, height), (x, y, width, height)], strict=True
    ):
        image.paste(thing.draw(right - left, bottom - top).convert("RGB"), (left, top))
    return Scene(image, frozenset(thing.label for thing in chosen))


def pick(rng: np.random.Generator, things: Sequence[Thing], count: int) -> list[Thing]:
    """Return `count` things, no two of one label (strangers have none)."""
    found: list[Thing] = []
    for number in rng.permutation(len(things)).tolist():
        if not things[number].label or things[number].label not in {thing.label for thing in found}:
            found.append(things[number])
        if len(found) == count:
            break
    return found


def mosaic(strangers: Sequence[Thing]) -> Ground:
    """Return a ground of six photographs of strangers side by side, at about their own scale: hard clutter."""

    def ground(rng: np.random.Generator) -> Image.Image:
        image = Image.new("RGB", FRAME)
        columns = np.linspace(0, FRAME[0], MOSAIC_COLUMNS + 1).astype(int).tolist()
        rows = np.linspace(0, FRAME[1], MOSAIC_ROWS + 1).astype(int).tolist()
        for left, right in itertools.pairwise(columns):
            for top, bottom in itertools.pairwise(rows):
                stranger = strangers[int(rng.integers(len(strangers)))]
                image.paste(stranger.draw(right - left, bottom - top).convert("RGB"), (left, top))
        return image

    return ground


def rendered_place(rng: np.random.Generator) -> Image.Image:
    """Return a rendered table, shelf or room: easy to tell from a photograph."""
    return backdrop(rng, FRAME)


def photograph_patch(source: Frame, *, soft: bool) -> Callable[[int, int], Image.Image]:
    """Return a drawer of the middle of the picture file `source`, filling its place, with soft round corners or none."""

    def draw(width: int, height: int) -> Image.Image:
        image = load_image(source)
        scale = max(width / image.width, height / image.height)
        image = image.resize(
            (max(width, round(image.width * scale)), max(height, round(image.height * scale))), Image.Resampling.BICUBIC
        )
        left, top = (image.width - width) // 2, (image.height - height) // 2
        patch = image.crop((left, top, left + width, top + height)).convert("RGBA")
        if soft:
            patch.putalpha(_soft_mask(width, height))
        return patch

    return draw


def _soft_mask(width: int, height: int) -> Image.Image:
    short = min(width, height)
    mask = Image.new("L", (width, height), 0)
    inset = (width * 0.03, height * 0.03, width * 0.97, height * 0.97)
    ImageDraw.Draw(mask).rounded_rectangle(inset, radius=short * 0.35, fill=255)
    return mask.filter(ImageFilter.GaussianBlur(short * 0.02))


def _free_place(rng: np.random.Generator, taken: Sequence[Place], sides: tuple[float, float]) -> Place | None:
    for _ in range(ATTEMPTS):
        side, aspect = rng.uniform(*sides) * FRAME[1], (3 / 4, 1.0, 4 / 3)[int(rng.integers(3))]
        width, height = round(side * aspect**0.5), round(side / aspect**0.5)
        left, top = int(rng.integers(0, FRAME[0] - width)), int(rng.integers(0, FRAME[1] - height))
        place = (left, top, left + width, top + height)
        if not any(_meet(place, other) for other in taken):
            return place
    return None


def _meet(one: Place, other: Place) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
