"""Lists the photographs of a folder tree or a manifest.csv."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sightline_cloud.ingest.fields import item_problem
from sightline_shared.errors import ManifestInvalid

EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".webp"})
MAX_MANIFEST_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True)
class Entry:
    """One photograph to index."""

    id: str
    path: Path
    metadata: dict[str, Any] = field(default_factory=dict)


def list_photos(source: Path, *, split: str | None = None) -> list[Entry]:
    """Return the photographs of `source`: a folder tree or a manifest.csv; raises ManifestInvalid.

    In a folder the id is the path inside it and the category its parent folder. A manifest has a column `path`, relative
    to itself; `id` (else the path) and every other column become the item's metadata. `split` keeps the rows with that
    value in the column `split`.
    """
    if source.is_dir():
        entries = list(_walk(source))
        if not entries:
            raise ManifestInvalid(f"{source}: expected JPEG, PNG or WebP pictures in the folder, got none.")
        return entries
    if source.is_file() and source.suffix.lower() == ".csv":
        return _read_manifest(source, split)
    raise ManifestInvalid(f"{source}: expected a folder of pictures or a manifest.csv, got neither.")


def _walk(folder: Path) -> Iterator[Entry]:
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in EXTENSIONS and path.is_file():
            inside = path.relative_to(folder)
            category = {"category": inside.parent.name} if inside.parent.name else {}
            yield Entry(inside.as_posix(), path, {"title": path.stem, **category})


def _read_manifest(manifest: Path, split: str | None) -> list[Entry]:
    if manifest.stat().st_size > MAX_MANIFEST_BYTES:
        raise ManifestInvalid(
            f"{manifest}: expected at most {MAX_MANIFEST_BYTES} bytes, got {manifest.stat().st_size}."
        )
    try:
        with open(manifest, newline="", encoding="utf-8-sig") as file:
            table = csv.DictReader(file)
            if "path" not in (table.fieldnames or []):
                raise ManifestInvalid(
                    f"{manifest}: expected a column 'path', got {table.fieldnames or 'an empty file'}."
                )
            if split is not None and "split" not in (table.fieldnames or []):
                raise ManifestInvalid(f"{manifest}: expected a column 'split' for --split, got {table.fieldnames}.")
            entries = [
                _entry(manifest, number, row)
                for number, row in enumerate(table, 2)
                if split in (None, row.get("split"))
            ]
    except (OSError, csv.Error, UnicodeDecodeError) as error:
        raise ManifestInvalid(f"{manifest}: expected a UTF-8 CSV file, got one that breaks ({error}).") from error
    if not entries:
        raise ManifestInvalid(
            f"{manifest}: expected at least one row{f' with split {split}' if split else ''}, got none."
        )
    twice = [item_id for item_id, count in Counter(entry.id for entry in entries).items() if count > 1]
    if twice:
        raise ManifestInvalid(f"{manifest}: expected every id once, got {twice[0]!r} twice.")
    return entries


def _entry(manifest: Path, line: int, row: dict[str, str]) -> Entry:
    path, item_id = row["path"], row.get("id") or row["path"]
    if not path or "\0" in path:
        raise ManifestInvalid(f"{manifest}, line {line}: expected the path of a picture, got {path!r}.")
    metadata: dict[str, Any] = {
        key: value for key, value in row.items() if key not in ("path", "id") and isinstance(value, str) and value
    }
    # The names that the packs' manifests use, as apps know them.
    metadata.setdefault("title", metadata.get("caption") or Path(path).stem)
    if "coarse" in metadata:
        metadata.setdefault("category", metadata["coarse"])
    problem = item_problem(item_id, metadata)
    if problem:
        raise ManifestInvalid(f"{manifest}, line {line}: {problem}.")
    return Entry(item_id, manifest.parent / path, metadata)
