"""Writes a sample catalogue to disk: pictures and the manifest that names them."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path

from .canvas import SampleError
from .items import SampleItem
from .views import phone_view, studio_view

MANIFEST_COLUMNS = (
    "path",
    "split",
    "domain",
    "coarse",
    "fine",
    "instance",
    "caption",
    "source",
    "licence",
)
LICENCE = "Apache-2.0"
JPEG_QUALITY = 92


def write_catalogue(
    directory: Path,
    items: Sequence[SampleItem],
    *,
    phone_views: int = 0,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write studio/ID.jpg, phone/ID-VIEW.jpg and manifest.csv; return the manifest's path.

    View seeds run from seed * 1000 upwards; progress is called with (done, total) after each item.
    """
    if phone_views < 0:
        raise SampleError(f"expected a count of phone views >= 0, got {phone_views}")
    (directory / "studio").mkdir(parents=True, exist_ok=True)
    if phone_views:
        (directory / "phone").mkdir(exist_ok=True)
    manifest = directory / "manifest.csv"
    with manifest.open("w", newline="", encoding="utf-8") as handle:
        table = csv.writer(handle, lineterminator="\n")
        table.writerow(MANIFEST_COLUMNS)
        for done, item in enumerate(items, start=1):
            tail = (
                item.category,
                item.id,
                item.id,
                item.title,
                f"sightline samples seed={item.seed}",
                LICENCE,
            )
            name = f"studio/{item.id}.jpg"
            studio_view(item).save(directory / name, quality=JPEG_QUALITY)
            table.writerow((name, "iconic", "rendered", *tail))
            for view in range(phone_views):
                name = f"phone/{item.id}-{view:02d}.jpg"
                photo = phone_view(item, seed * 1000 + view)
                photo.save(directory / name, quality=JPEG_QUALITY)
                table.writerow((name, "train", "rendered", *tail))
            if progress is not None:
                progress(done, len(items))
    return manifest
