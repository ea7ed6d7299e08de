"""What the demo asks: a catalogue and the photographs that are asked about, rendered or the user's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from sightline_bench.samples import SampleItem, blurred, distractor, make_items, phone_view, write_catalogue
from sightline_shared.errors import InputError, SightlineError
from sightline_shared.preprocess import load_image

Progress = Callable[[int, int], None]

CATALOGUE_ITEMS = 96
TRIAL_ITEMS = 48
STRANGERS = 24
MAX_PHOTOS = 1000
EXTENSIONS = {".jpg", ".jpeg", ".png", ".webp"}


@dataclass(frozen=True)
class Question:
    """One photograph to ask about; `truth` is the catalogue id that it shows, when it shows one."""

    title: str
    photo: Path
    truth: str | None = None
    service_up: bool = True


@dataclass(frozen=True)
class Scenario:
    """A catalogue (manifest or folder, with `pictures` from item id to file), questions, and a larger trial.

    `trial` are photographs of catalogue items, `strangers` pictures of nothing that the catalogue holds.
    """

    catalogue: Path
    pictures: dict[str, Path]
    titles: dict[str, str]
    questions: list[Question]
    trial: list[Question]
    strangers: list[Question]
    own_photos: bool = False


def sample_scenario(folder: Path, *, seed: int = 0, progress: Progress | None = None) -> Scenario:
    """Render the sample catalogue (studio views) and phone views of its items into `folder`."""
    items = make_items(CATALOGUE_ITEMS, seed=seed)
    manifest = write_catalogue(folder / "catalogue", items, progress=progress)
    photos = folder / "photos"
    photos.mkdir(parents=True, exist_ok=True)

    def take(name: str, item: SampleItem, view: int, difficulty: float) -> Path:
        return _save(phone_view(item, seed * 1000 + view, difficulty=difficulty), photos / f"{name}.jpg")

    def catalogue_id(item: SampleItem) -> str:
        return f"studio/{item.id}.jpg"  # as the manifest names it

    easy, hard, shaken = items[12], items[47], items[20]
    questions = [
        Question("a good match", take("good", easy, 901, 0.1), catalogue_id(easy)),
        Question("the same item, photographed differently", take("different", hard, 902, 0.7), catalogue_id(hard)),
        Question("not in the catalogue's world", _save(distractor(6 * seed + 2), photos / "stranger.jpg")),
        Question(
            "a blurred frame",
            _save(blurred(phone_view(shaken, 903, difficulty=0.2)), photos / "blurred.jpg"),
            catalogue_id(shaken),
        ),
        Question("a good match, service down", photos / "good.jpg", catalogue_id(easy), service_up=False),
    ]
    trial = [
        Question(item.id, take(f"trial-{i:02d}", item, 904 + i, 0.5), catalogue_id(item))
        for i, item in enumerate(items[:: CATALOGUE_ITEMS // TRIAL_ITEMS])
    ]
    return Scenario(
        manifest,
        {catalogue_id(item): folder / "catalogue" / catalogue_id(item) for item in items},
        {catalogue_id(item): item.title for item in items},
        questions,
        trial,
        drawn_strangers(photos, seed),
    )


def photo_scenario(source: Path, folder: Path, *, seed: int = 0) -> Scenario:
    """Use the pictures under `source` as the catalogue and altered views of some of them as the questions.

    Raises InputError for a folder with fewer than two readable pictures.
    """
    if not source.is_dir():
        raise InputError(f"photos: expected a folder of pictures, got {source}.", hint="make demo PHOTOS=folder")
    found = sorted(path for path in source.rglob("*") if path.suffix.lower() in EXTENSIONS and path.is_file())
    chosen = found[:: max(1, -(-len(found) // MAX_PHOTOS))]
    photos = folder / "photos"
    photos.mkdir(parents=True, exist_ok=True)
    readable: dict[str, Path] = {}
    for path in chosen:
        try:
            load_image(path)
        except SightlineError:
            continue  # the catalogue's report names it
        readable[path.relative_to(source).as_posix()] = path
    if len(readable) < 2:
        raise InputError(
            f"photos: expected at least 2 readable JPEG, PNG or WebP pictures in {source}, got {len(readable)}."
        )
    ids = list(readable)
    rng = np.random.default_rng(seed)
    drawn = [ids[i] for i in rng.permutation(len(ids))]

    def again(name: str, item: str, strength: float) -> Path:
        return _save(altered(load_image(readable[item]), rng, strength), photos / f"{name}.jpg")

    first, second, third = drawn[0], drawn[1], drawn[2 % len(drawn)]
    questions = [
        Question("a good match", again("good", first, 0.2), first),
        Question("the same picture, altered strongly", again("different", second, 1.0), second),
        Question("not in the catalogue's world", _save(distractor(6 * seed), photos / "stranger.jpg")),
        Question("a blurred frame", _save(blurred(load_image(readable[third])), photos / "blurred.jpg"), third),
        Question("a good match, service down", photos / "good.jpg", first, service_up=False),
    ]
    trial = [Question(item, again(f"trial-{i:02d}", item, 0.6), item) for i, item in enumerate(drawn[:TRIAL_ITEMS])]
    return Scenario(source, readable, dict.fromkeys(ids, ""), questions, trial, drawn_strangers(photos, seed), True)


def drawn_strangers(photos: Path, seed: int) -> list[Question]:
    """Draw landscapes, cats, skylines, pages of text, patterns and flowers into `photos`, equally many of each."""
    return [
        Question(f"stranger {i}", _save(distractor(6 * seed + 6 + i), photos / f"stranger-{i:02d}.jpg"))
        for i in range(STRANGERS)
    ]


def altered(image: Image.Image, rng: np.random.Generator, strength: float) -> Image.Image:
    """Return `image` as another shot might show it: turned, cropped, lit otherwise; `strength` in [0, 1]."""
    image = ImageOps.contain(image, (900, 900))
    turned = image.rotate(float(rng.uniform(-14, 14)) * strength, Image.Resampling.BICUBIC, expand=False)
    width, height = turned.size
    margin = 0.04 + 0.12 * strength
    left, top = (float(x) for x in rng.uniform(0.3 * margin, margin, 2))
    right, bottom = (float(x) for x in rng.uniform(0.3 * margin, margin, 2))
    cropped = turned.crop(
        (round(left * width), round(top * height), round((1 - right) * width), round((1 - bottom) * height))
    )
    lit = ImageEnhance.Brightness(cropped).enhance(1 + float(rng.uniform(-0.35, 0.35)) * strength)
    return ImageEnhance.Color(lit).enhance(1 + float(rng.uniform(-0.4, 0.4)) * strength)


def _save(image: Image.Image, path: Path) -> Path:
    image.save(path, quality=90)
    return path
