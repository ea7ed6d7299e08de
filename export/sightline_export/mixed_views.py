"""Mixed views: crops, blends and joins of training photographs that the teacher itself embeds.

The clean photographs show the student what the teacher says of things in the catalogue. The views between them show what
it says elsewhere, so the student learns the function and not a table: function matching (Beyer et al., CVPR 2022, section
3: teacher and student see the same view, and mixup leads out of the data).
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sightline_export.augment import colour, random_view
from sightline_export.batches import photograph_chances
from sightline_export.data import AUGMENT_SIDE, Photo, PhotoSet, load_photos
from sightline_export.recipe import Batches, Strength
from sightline_export.workspace import Run

VIEW = "view"
JPEG_QUALITY = 95
# Not the recipe's seed: runs of several seeds share the teacher's features of the views, which take minutes to compute.
SEED = 1


def with_mixed_views(run: Run, photos: PhotoSet) -> PhotoSet:
    """Return `photos`, and after them the recipe's mixed views of the training photographs, in the role "view".

    The views are files in the run's folder, under the digest of what they are made of: one that is there is not made
    again, and other photographs (a class held out) or another augmentation have views of their own.
    """
    count = run.recipe.teacher.mixed_views
    if not count:
        return photos
    train = photos.where(role="train")
    shown = [(photos.digests[row], photos.photos[row].source) for row in train]
    made_of = repr((SEED, shown, run.recipe.augment)).encode()
    folder = run.folder / "views" / hashlib.sha256(made_of).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    chance = source_chances([photos.photos[row].source for row in train])
    files = [folder / f"{number:06d}.jpg" for number in range(count)]
    for number, file in enumerate(run.progress.track(files, "mixed views")):
        if not file.is_file():
            rng = np.random.default_rng((SEED, number))
            one, other = (photos.images[row] for row in rng.choice(train, 2, p=chance))
            _write(file, mixed(one, other, AUGMENT_SIDE, rng, run.recipe.augment))
    views = [Photo(file, VIEW, VIEW, VIEW, "", "", "", labelled=False) for file in files]
    return photos.joined(load_photos(views, run.recipe.student.size, run.progress))


def source_chances(sources: list[str]) -> NDArray[np.float64]:
    """Return each photograph's chance `(n,)`: sources by the root of their size, alike within one."""
    _, groups = np.unique(sources, return_inverse=True)
    return photograph_chances(np.full(len(sources), -1), groups.astype(np.int64), Batches())


def mixed(
    one: Image.Image, other: Image.Image, size: int, rng: np.random.Generator, strength: Strength
) -> NDArray[np.uint8]:
    """Return a crop of `one`, or two crops blended (mixup) or joined at a straight edge: `(size, size, 3) uint8`."""
    view = np.asarray(random_view(one, size, rng, strength), dtype=np.uint8)
    how = rng.random()
    if how < 0.6:
        second = np.asarray(random_view(other, size, rng, strength), dtype=np.uint8)
        if how < 0.3:
            share = np.float32(rng.uniform(0.2, 0.8))
            view = (share * view + (1 - share) * second).astype(np.uint8)
        else:
            edge, across = int(rng.integers(size // 3, 2 * size // 3)), int(rng.integers(2))
            first, last = np.split(view, [edge], axis=across)[0], np.split(second, [edge], axis=across)[1]
            view = np.concatenate([first, last], axis=across)
    return colour(view, rng, strength) if rng.random() < 0.5 else view


def _write(file: Path, pixels: NDArray[np.uint8]) -> None:
    aside = file.with_suffix(".tmp")
    Image.fromarray(pixels).save(aside, "JPEG", quality=JPEG_QUALITY)
    aside.replace(file)
