"""Adds photographs to the catalogue: embed in batches, encode, store; a batch that is stored stays stored.

Every live generation embeds every photograph, and an item is stored with all of its vectors in one write: there is no
moment at which one of the generations finds it and another does not.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from sightline_cloud.catalog.records import NewItem
from sightline_cloud.catalog.store import Store
from sightline_cloud.ingest.blocked import BlockedImages
from sightline_cloud.ingest.fields import item_problem
from sightline_cloud.ingest.reader import Entry
from sightline_cloud.live import LiveGeneration
from sightline_shared.errors import InputError, ManifestInvalid
from sightline_shared.preprocess import DAMAGE, Frame, load_image

BATCH = 32
THUMBNAIL_SIDE = 192
MAX_REPORTED = 100


@dataclass
class AddReport:
    """What became of the photographs; `problems` names the first 100 that could not be read."""

    added: int = 0
    replaced: int = 0
    skipped: int = 0
    problems: list[dict[str, str]] = field(default_factory=list)

    def skip(self, entry: Entry, error: InputError) -> None:
        """Count a photograph that was left out, and why."""
        self.skipped += 1
        if len(self.problems) < MAX_REPORTED:
            problem = {"path": str(entry.path), **error.to_dict()}
            self.problems.append({key: _shown(text) for key, text in problem.items()})


@dataclass(frozen=True, eq=False)
class Ready:
    """A photograph that was read: each generation's tensor `(s, s, 3) uint8`, a JPEG, the original's size."""

    id: str
    metadata: Mapping[str, Any]
    tensors: dict[str, NDArray[np.uint8]]
    thumbnail: bytes
    size_px: tuple[int, int]


class Ingest:
    """Turns pictures into stored items."""

    def __init__(self, store: Store, generations: Sequence[LiveGeneration], blocked: BlockedImages) -> None:
        self._store, self._generations, self._blocked = store, generations, blocked

    def add_one(self, tenant: str, item_id: str, picture: Frame, metadata: Mapping[str, Any]) -> bool:
        """Add one item, durably; returns whether it replaced one. Raises InputError for a picture that is none, or blocked."""
        ready = self._read(item_id, metadata, picture, item_id)
        return bool(self._store.add(tenant, self._items([ready])))

    def add_photos(
        self, tenant: str, entries: Sequence[Entry], *, progress: Callable[[int], None] | None = None
    ) -> AddReport:
        """Add the photographs of `entries`; one that cannot be read is reported and left out.

        Raises InputError when none of them can be read. `progress` is told how many were dealt with.
        """
        report = AddReport()
        for start in range(0, len(entries), BATCH):
            chunk, ready = entries[start : start + BATCH], []
            for entry in chunk:
                try:
                    _check(entry)
                    ready.append(self._read(entry.id, entry.metadata, entry.path, str(entry.path)))
                except InputError as error:
                    report.skip(entry, error)
            if ready:
                report.replaced += self._store.add(tenant, self._items(ready))
                report.added += len(ready)
            if progress:
                progress(len(chunk))
        if entries and not report.added:
            raise InputError(
                f"expected at least one readable picture among {len(entries)}, got none.",
                hint=f"The first problem: {report.problems[0]['message']}",
            )
        return report

    def _read(self, item_id: str, metadata: Mapping[str, Any], picture: Frame, name: str) -> Ready:
        image = load_image(picture, name=name)
        self._blocked.check(image, name)
        tensors = {live.key: live.tensor(image) for live in self._generations}
        return Ready(item_id, metadata, tensors, _thumbnail(image), _full_size(picture, image))

    def _items(self, ready: Sequence[Ready]) -> list[NewItem]:
        embedded = {live.key: live.embed([one.tensors[live.key] for one in ready]) for live in self._generations}
        return [
            NewItem(one.id, {key: own[n] for key, own in embedded.items()}, one.thumbnail, one.size_px, one.metadata)
            for n, one in enumerate(ready)
        ]


def _check(entry: Entry) -> None:
    problem = item_problem(entry.id, entry.metadata)
    if problem:
        raise ManifestInvalid(f"{entry.path}: {problem}.", hint="Rename the file.")


def _shown(text: str) -> str:
    """Return `text` with what no terminal and no JSON reader takes, such as a file name's stray bytes, replaced."""
    return text.encode("utf-8", "replace").decode()


def _full_size(picture: Frame, decoded: Image.Image) -> tuple[int, int]:
    """Return width and height of the upright original: a large JPEG is decoded at a reduced scale."""
    if not isinstance(picture, str | Path | bytes):
        return decoded.size
    try:
        with Image.open(io.BytesIO(picture) if isinstance(picture, bytes) else picture) as header:
            width, height = header.size
            on_its_side = header.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
    except DAMAGE:  # the file changed since it was decoded
        return decoded.size
    return (height, width) if on_its_side else (width, height)


def _thumbnail(image: Image.Image) -> bytes:
    small = image.copy()
    small.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    buffer = io.BytesIO()
    # Pillow would carry the original's comment over.
    small.save(buffer, "JPEG", quality=80, comment=b"")
    return buffer.getvalue()
