"""The frames of `sightline bench crops`: kinds of scenes, what they are searched in, and where their pictures are from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from sightline_bench.crops.scenes import (
    MIDDLE,
    SMALL,
    Ground,
    Scene,
    Thing,
    crates,
    mosaic,
    photograph_patch,
    rendered_place,
    scattered,
)
from sightline_bench.packs import Photo, read_pack, select
from sightline_bench.samples import SampleItem, distractor, make_items, phone_view, studio_view
from sightline_bench.samples.canvas import Pose
from sightline_bench.samples.sprites import render_sprite
from sightline_shared.preprocess import Frame, load_image

ITEMS, DRAWN_STRANGERS = 96, 12


@dataclass(frozen=True, eq=False)
class SceneSet:
    """Kinds of scenes, each made by number, and the catalogue `gallery` with its `labels` and `categories`, picture by picture."""

    source: str
    gallery: Sequence[Callable[[], Frame]]
    labels: Sequence[str]
    kinds: Mapping[str, Sequence[Callable[[], Scene]]]
    categories: Sequence[str] = ()


def packs_set(packs: Path, scenes: int, seed: int = 0) -> SceneSet:
    """Return scenes of the packs' test photographs, to be searched among the training photographs."""
    shop = read_pack(packs / "shopfloor" / "manifest.csv")
    outside = select(read_pack(packs / "shopfloor_ood" / "manifest.csv"), split="test")
    gallery = [*select(shop, split="train", domain="grocery"), *select(shop, split="train", domain="clothing")]
    grocery, clothing = (select(shop, split="test", domain=domain) for domain in ("grocery", "clothing"))
    # As many photographs of clothes as of groceries, so that neither is the exception in a frame.
    asked = [*grocery[:: max(1, len(grocery) // len(clothing))], *clothing]
    flat, soft = (
        [Thing(_label(photo), photograph_patch(photo.path, soft=rounded)) for photo in asked]
        for rounded in (False, True)
    )
    strangers = [Thing("", photograph_patch(photo.path, soft=True)) for photo in outside]
    alone = [partial(_alone, photo.path, _label(photo)) for photo in _some(grocery, scenes, seed)]
    return SceneSet(
        source="shopfloor and shopfloor_ood: test photographs, composed, against the training photographs",
        gallery=[partial(_itself, photo.path) for photo in gallery],
        labels=[_label(photo) for photo in gallery],
        kinds={
            **_composed(scenes, seed, soft, strangers),
            "four crates": _each(scenes, seed, lambda rng: crates(rng, flat)),
            "grocery photographs as they are": alone,
            "strangers as they are": [partial(_alone, photo.path, "") for photo in _some(outside, scenes, seed)],
        },
        categories=[photo.coarse for photo in gallery],
    )


def samples_set(scenes: int, seed: int = 0) -> SceneSet:
    """Return scenes of rendered items, to be searched among their studio views."""
    items = make_items(ITEMS, seed)
    things = [Thing(item.id, _sprite_patch(item)) for item in items]
    drawn = [distractor(seed + number) for number in range(DRAWN_STRANGERS)]
    strangers = [Thing("", photograph_patch(picture, soft=True)) for picture in drawn]
    return SceneSet(
        source=f"rendered sample catalogue, {ITEMS} items, seed {seed}: composed frames against studio views",
        gallery=[partial(studio_view, item) for item in items],
        labels=[item.id for item in items],
        kinds={
            **_composed(scenes, seed, things, strangers),
            "phone views as they are": [
                partial(_drawn, item, seed * 1000 + number) for number, item in enumerate(items[:scenes])
            ],
            "strangers as they are": [partial(_alone, picture, "") for picture in drawn[:scenes]],
        },
    )


def _composed(
    scenes: int, seed: int, things: Sequence[Thing], strangers: Sequence[Thing]
) -> dict[str, Sequence[Callable[[], Scene]]]:
    def ground(rng: np.random.Generator) -> Image.Image:
        chosen: Ground = mosaic(strangers) if rng.random() < 0.5 else rendered_place
        return chosen(rng)

    return {
        "one small thing": _each(scenes, seed, lambda rng: scattered(rng, things, 1, SMALL, ground)),
        "three things": _each(scenes, seed, lambda rng: scattered(rng, things, 3, MIDDLE, ground)),
        "three strangers": _each(scenes, seed, lambda rng: scattered(rng, strangers, 3, MIDDLE, ground)),
    }


def _each(scenes: int, seed: int, make: Callable[[np.random.Generator], Scene]) -> list[Callable[[], Scene]]:
    return [partial(_made, make, seed, number) for number in range(scenes)]


def _made(make: Callable[[np.random.Generator], Scene], seed: int, number: int) -> Scene:
    return make(np.random.default_rng((seed, number)))


def _alone(source: Frame, label: str) -> Scene:
    return Scene(load_image(source), frozenset((label,) if label else ()))


def _drawn(item: SampleItem, view: int) -> Scene:
    return Scene(phone_view(item, view), frozenset((item.id,)))


def _itself(source: Frame) -> Frame:
    return source


def _sprite_patch(item: SampleItem) -> Callable[[int, int], Image.Image]:
    def draw(width: int, height: int) -> Image.Image:
        sprite = render_sprite(item.drawing, Pose())
        sprite = sprite.crop(sprite.getchannel("A").getbbox())
        scale = min(width / sprite.width, height / sprite.height)
        sprite = sprite.resize((round(sprite.width * scale), round(sprite.height * scale)), Image.Resampling.LANCZOS)
        patch = Image.new("RGBA", (width, height))
        patch.paste(sprite, ((width - sprite.width) // 2, (height - sprite.height) // 2))
        return patch

    return draw


def _label(photo: Photo) -> str:
    return f"{photo.domain}/{photo.fine}"


def _some(photos: Sequence[Photo], count: int, seed: int) -> list[Photo]:
    chosen = np.random.default_rng(seed).permutation(len(photos))[:count]
    return [photos[number] for number in chosen.tolist()]
