"""Photographs: what a recipe's sources hold, and their pixels, decoded once into memory."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sightline_export.progress import Progress
from sightline_export.recipe import Recipe, Source
from sightline_shared.errors import (
    ImageUnreadable,
    ManifestInvalid,
    RecipeInvalid,
    SightlineError,
    TrainingDataTooSmall,
)
from sightline_shared.preprocess import load_image, to_tensor

COLUMNS = ("path", "split", "domain", "coarse", "fine", "instance", "caption", "source", "licence")
ENDINGS = (".jpg", ".jpeg", ".png", ".webp")
# Augmentation works on a copy of at most this short side: more than the network sees, and quick to warp.
AUGMENT_SIDE = 256
# Which classes are held out does not move with the recipe's seed: runs of several seeds must be comparable.
SPLIT = 1


@dataclass(frozen=True)
class Photo:
    """One photograph: where it lies, what it is for, what it shows ("" where that is not known)."""

    path: Path
    source: str
    kind: str
    role: str
    coarse: str
    fine: str
    instance: str
    labelled: bool
    studio: bool = False
    held_out: bool = False

    @property
    def item(self) -> str:
        """The class of the instance loss, unique over sources."""
        return f"{self.source}/{self.fine}"

    @property
    def category(self) -> str:
        """The class of the semantic loss, unique over sources."""
        return f"{self.source}/{self.coarse}"


class PhotoSet:
    """Photographs with their pixels, all in one order.

    `images[i]` is for augmentation (scaled down), `tensors` `(n, size, size, 3) uint8` is the pixel specification's, and
    `digests[i]` is the SHA-256 of the file.
    """

    def __init__(
        self, photos: Sequence[Photo], images: Sequence[Image.Image], tensors: NDArray[np.uint8], digests: Sequence[str]
    ) -> None:
        self.photos = list(photos)
        self.images = list(images)
        self.digests = list(digests)
        self.tensors = tensors

    def __len__(self) -> int:
        return len(self.photos)

    def pixels(self, index: int, size: int) -> NDArray[np.uint8]:
        """Return photograph `index` at another size, `(size, size, 3) uint8`, from its file."""
        return to_tensor(load_image(self.photos[index].path), size)

    def resized(self, size: int) -> PhotoSet:
        """Return the same photographs with tensors of another size, from their files."""
        tensors = np.stack([self.pixels(index, size) for index in range(len(self))])
        return PhotoSet(self.photos, self.images, tensors, self.digests)

    def joined(self, others: PhotoSet) -> PhotoSet:
        """Return these photographs and `others` after them."""
        return PhotoSet(
            [*self.photos, *others.photos],
            [*self.images, *others.images],
            np.concatenate([self.tensors, others.tensors]),
            [*self.digests, *others.digests],
        )

    def where(
        self,
        *,
        role: str | None = None,
        kind: str | None = None,
        source: str | None = None,
        labelled: bool | None = None,
        held_out: bool | None = None,
        studio: bool | None = None,
    ) -> NDArray[np.int64]:
        """Return the indices `(m,) int64` of the photographs that match every condition given."""
        found = [
            index
            for index, photo in enumerate(self.photos)
            if (role is None or photo.role == role)
            and (kind is None or photo.kind == kind)
            and (source is None or photo.source == source)
            and (labelled is None or photo.labelled == labelled)
            and (held_out is None or photo.held_out == held_out)
            and (studio is None or photo.studio == studio)
        ]
        return np.asarray(found, dtype=np.int64)


def list_photos(recipe: Recipe) -> list[Photo]:
    """List the photographs of every source; raises ManifestInvalid, TrainingDataTooSmall."""
    photos: list[Photo] = []
    for source in recipe.source:
        photos += _list_source(recipe, source)
    check_enough(photos, recipe)
    return photos


def check_enough(photos: Sequence[Photo], recipe: Recipe) -> None:
    """Raise TrainingDataTooSmall when there is too little to train on."""
    train = [photo for photo in photos if photo.role == "train" and photo.kind == "catalogue"]
    least = recipe.bars.smallest_training_set
    if len(train) < least:
        raise TrainingDataTooSmall(
            f"training photographs: expected at least {least}, got {len(train)}.",
            hint="Add photographs, or check the 'split' values that the recipe's sources name.",
        )
    sizes = Counter(photo.item for photo in train if photo.labelled)
    if len(sizes) < 2:
        raise TrainingDataTooSmall(
            f"training classes: expected at least 2 labelled items, got {len(sizes)}.",
            hint="Fill the manifest's 'fine' column (or give each item its own folder), and set labels = true.",
        )
    small = [item for item, count in sizes.items() if count < recipe.bars.smallest_class]
    if len(small) > len(sizes) // 2:
        raise TrainingDataTooSmall(
            f"photographs per item: expected at least {recipe.bars.smallest_class} for most items, got fewer for "
            f"{len(small)} of {len(sizes)}, '{small[0]}' among them.",
            hint="Add photographs of these items, or group them under a common 'fine' name.",
        )


def load_photos(photos: Sequence[Photo], size: int, progress: Progress) -> PhotoSet:
    """Decode every photograph once; raises ImageUnreadable naming the files that cannot be read."""
    tensors = np.empty((len(photos), size, size, 3), dtype=np.uint8)
    images: list[Image.Image] = []
    digests: list[str] = []
    broken: list[str] = []
    for index, photo in enumerate(progress.track(photos, "photographs")):
        try:
            data = photo.path.read_bytes()
            image = load_image(data, name=str(photo.path))
        except (OSError, SightlineError) as error:
            broken.append(str(error))
            continue
        tensors[index] = to_tensor(image, size)
        digests.append(hashlib.sha256(data).hexdigest())
        images.append(_small(image))
    if broken:
        raise ImageUnreadable(
            f"photographs: expected {len(photos)} readable files, got {len(broken)} that are not; the first: "
            + " | ".join(broken[:3]),
            hint="Remove these files from the manifest or the folder, or replace them.",
        )
    return PhotoSet(photos, images, tensors, digests)


def _small(image: Image.Image) -> Image.Image:
    """Return a copy whose short side is at most AUGMENT_SIDE."""
    scale = AUGMENT_SIDE / min(image.size)
    if scale >= 1:
        return image
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)


def _list_source(recipe: Recipe, source: Source) -> list[Photo]:
    try:
        path = recipe.path(source.manifest or source.folder)
    except RecipeInvalid:  # a variable that is not set
        if source.optional:
            return []
        raise
    if not path.exists():
        if source.optional:
            return []
        raise ManifestInvalid(
            f"source '{source.name}': expected {path}, got nothing there.",
            hint="Correct the path, or set optional = true for the source.",
        )
    photos = _from_manifest(path, source) if source.manifest else _from_folder(path, source)
    if not photos and not source.optional:
        raise ManifestInvalid(f"source '{source.name}': expected photographs in {path}, got none that match.")
    if source.kind == "sensitive":  # a role of their own: only the sensitive head may learn from them
        return [dataclasses.replace(photo, role="sensitive") for photo in photos]
    return _hold_out(photos, source)


def _from_manifest(path: Path, source: Source) -> list[Photo]:
    # A studio split may be trained on as well: then its role is the other one, and `studio` still marks it.
    roles = {split: role for role in ("studio", "test", "val", "train") for split in getattr(source, role)}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            missing = {"path", "split"} - set(reader.fieldnames or ())
            if missing:
                raise ManifestInvalid(f"{path}: expected the columns {COLUMNS}, got {reader.fieldnames}.")
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ManifestInvalid(f"{path}: expected a UTF-8 CSV file, got '{error}'.") from error
    photos = []
    for row in rows:
        role = roles.get(row["split"] or "")
        if role is None or (source.domain and row.get("domain") != source.domain):
            continue
        fine, coarse = row.get("fine") or "", row.get("coarse") or ""
        photos.append(
            Photo(
                path.parent / row["path"],
                source.name,
                source.kind,
                role,
                coarse,
                fine,
                row.get("instance") or "",
                bool(source.labels and fine and source.kind == "catalogue"),
                studio=row["split"] in source.studio,
            )
        )
    return photos


def _from_folder(path: Path, source: Source) -> list[Photo]:
    photos = []
    for file in sorted(path.rglob("*")):
        if file.suffix.lower() not in ENDINGS or file.parent == path:
            continue
        fine = file.parent.name
        above = file.parent.parent
        coarse = above.name if above != path else fine
        share = _unit(str(file.relative_to(path)))
        role = (
            "val" if share < source.val_share else "test" if share < source.val_share + source.test_share else "train"
        )
        labelled = source.labels and source.kind == "catalogue"
        photos.append(Photo(file, source.name, source.kind, role, coarse, fine, "", labelled))
    return photos


def _hold_out(photos: list[Photo], source: Source) -> list[Photo]:
    """Take the held-out classes out of training: their photographs are for val or test only."""
    names = sorted({photo.fine for photo in photos})
    if source.holdout_every:
        held = set(names[source.holdout_every - 1 :: source.holdout_every])
    else:
        names.sort(key=lambda name: _unit(f"{SPLIT}/{source.name}/{name}"))
        held = set(names[: round(len(names) * source.holdout_classes)])
    result = []
    for photo in photos:
        if photo.fine in held:
            role = ("studio" if photo.studio else "val") if photo.role == "train" else photo.role
            photo = dataclasses.replace(photo, role=role, held_out=True)
        result.append(photo)
    return result


def _unit(text: str) -> float:
    """Return a number in [0, 1) that depends on `text` alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64
