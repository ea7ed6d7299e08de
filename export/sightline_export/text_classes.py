"""What the text tower learns from: classes with their names, descriptions, and the mean embedding of their photographs."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sightline_export.progress import Progress
from sightline_shared.errors import ManifestInvalid, TrainingDataTooSmall
from sightline_shared.preprocess import load_image, to_tensor

# More photographs of a class hardly move its mean, and each takes 10 ms.
MOST_PHOTOS = 40
LEAST_CLASSES = 10
NEEDED = ("path", "split", "fine")

Embed = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class DescribedClass:
    """One class: `texts` that describe it, its name first; `target` `(d,) float32`, the unit mean of its photographs."""

    name: str
    family: str
    texts: tuple[str, ...]
    target: NDArray[np.float32]


@dataclass(frozen=True)
class _Row:
    path: Path
    split: str
    family: str
    name: str
    caption: str


def described_classes(
    manifests: Sequence[Path], split: str, embed: Embed, size: int, progress: Progress
) -> list[DescribedClass]:
    """Return the classes of the photographs in `split`; captions come from any split.

    `embed` maps `(1, size, size, 3) uint8` to `(1, d)`. Raises ManifestInvalid, TrainingDataTooSmall, ImageUnreadable.
    """
    rows = [row for manifest in manifests for row in _rows(manifest)]
    photos, captions = defaultdict[tuple[str, str], list[Path]](list), defaultdict[tuple[str, str], list[str]](list)
    for row in rows:
        if row.split == split:
            photos[row.family, row.name].append(row.path)
        if row.caption:
            captions[row.family, row.name].append(row.caption)
    if len(photos) < LEAST_CLASSES:
        raise TrainingDataTooSmall(
            f"text tower: expected at least {LEAST_CLASSES} classes with photographs in split '{split}', got {len(photos)}.",
            hint="Name another split, or a manifest with the column 'fine' filled.",
        )
    chosen = {key: paths[:: -(-len(paths) // MOST_PHOTOS)] for key, paths in photos.items()}
    classes = []
    with progress.bar(sum(map(len, chosen.values())), "photographs") as advance:
        for (family, name), paths in sorted(chosen.items()):
            vectors = []
            for path in paths:
                vectors.append(embed(to_tensor(load_image(path), size)[np.newaxis])[0])
                advance(1, "")
            mean = np.mean(vectors, axis=0)
            target = (mean / max(float(np.linalg.norm(mean)), 1e-12)).astype(np.float32)
            classes.append(DescribedClass(name, family, texts_of(name, family, captions[family, name]), target))
    return classes


def texts_of(name: str, family: str, captions: Sequence[str] = ()) -> tuple[str, ...]:
    """Return what is said of a class: its name, name and family, a phrase, and its captions alone and after the name."""
    plain, kind = name.replace("-", " ").replace("_", " "), family.replace("-", " ").replace("_", " ").lower()
    said = [plain, f"{plain}, {kind}" if kind else plain, f"a photo of {plain.lower()}"]
    for caption in captions:
        said += [caption, f"{plain}. {caption}"]
    return tuple(dict.fromkeys(said))


def _rows(manifest: Path) -> list[_Row]:
    try:
        with manifest.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            if not set(NEEDED) <= set(reader.fieldnames or ()):
                raise ManifestInvalid(f"{manifest}: expected the columns {', '.join(NEEDED)}, got {reader.fieldnames}.")
            return [
                _Row(
                    manifest.parent / row["path"],
                    row["split"],
                    row.get("coarse") or "",
                    row["fine"],
                    row.get("caption") or "",
                )
                for row in reader
                if row["path"] and row["fine"]
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ManifestInvalid(f"{manifest}: expected a UTF-8 CSV file, got '{error}'.") from error
