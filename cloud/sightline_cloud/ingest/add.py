"""Adds photographs to the catalogue: embed in batches, encode, store; a batch that is stored stays stored."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from sightline_cloud.catalog.store import NewItem, Store
from sightline_cloud.ingest.gallery_model import GalleryModel
from sightline_cloud.ingest.reader import Entry
from sightline_shared.codec import Codec
from sightline_shared.errors import InputError
from sightline_shared.preprocess import Frame, load_image, to_tensor

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


class Ingest:
    """Turns pictures into stored items."""

    def __init__(self, store: Store, model: GalleryModel, codec: Codec, input_size: int) -> None:
        self._store, self._model, self._codec, self._size = store, model, codec, input_size

    def add_one(self, tenant: str, item_id: str, picture: Frame, metadata: Mapping[str, Any]) -> bool:
        """Add one item, durably; returns whether it replaced one. Raises InputError for a picture that is none."""
        tensor, thumbnail, size = self._read(picture, item_id)
        (item,) = self._items([(item_id, metadata, tensor, thumbnail, size)])
        return bool(self._store.add(tenant, [item]))

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
                    ready.append((entry.id, entry.metadata, *self._read(entry.path, str(entry.path))))
                except InputError as error:
                    report.skipped += 1
                    if len(report.problems) < MAX_REPORTED:
                        report.problems.append({"path": str(entry.path), **error.to_dict()})
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

    def _read(self, picture: Frame, name: str) -> tuple[np.ndarray[Any, np.dtype[np.uint8]], bytes, tuple[int, int]]:
        image = load_image(picture, name=name)
        return to_tensor(image, self._size), _thumbnail(image), image.size

    def _items(self, ready: Sequence[tuple[Any, ...]]) -> list[NewItem]:
        vectors = self._model.embed(np.stack([tensor for _, _, tensor, _, _ in ready]))
        codes = self._codec.encode(vectors)
        return [
            NewItem(item_id, vector, code.tobytes(), thumbnail, size, metadata)
            for (item_id, metadata, _, thumbnail, size), vector, code in zip(ready, vectors, codes, strict=True)
        ]


def _thumbnail(image: Image.Image) -> bytes:
    small = image.copy()
    small.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()
