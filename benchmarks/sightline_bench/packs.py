"""The real photographs: reads the packs' manifests where SIGHTLINE_PACKS points; copies nothing."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from sightline_shared import environment
from sightline_shared.errors import ManifestInvalid


@dataclass(frozen=True)
class Photo:
    """One row of a pack's manifest; `path` is absolute."""

    path: Path
    split: str
    domain: str
    coarse: str
    fine: str
    instance: str
    caption: str


def packs_folder(named: str | None = None) -> Path | None:
    """Return the folder `named`, else the one in SIGHTLINE_PACKS, else None."""
    chosen = named or environment.read("SIGHTLINE_PACKS")
    return Path(chosen) if chosen else None


def read_pack(manifest: Path) -> list[Photo]:
    """Return the rows of a pack's manifest.csv; raises ManifestInvalid."""
    try:
        with open(manifest, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        return [
            Photo(
                manifest.parent / row["path"],
                *(row[name] for name in ("split", "domain", "coarse", "fine", "instance", "caption")),
            )
            for row in rows
        ]
    except OSError as error:
        raise ManifestInvalid(f"{manifest}: expected a pack's manifest, got '{error.strerror}'.") from error
    except (KeyError, csv.Error, UnicodeDecodeError) as error:
        raise ManifestInvalid(f"{manifest}: expected the columns of packs/README.md, missing {error}.") from error


def select(photos: list[Photo], *, split: str, domain: str | None = None) -> list[Photo]:
    """Return the photos of one split, and of one domain when given."""
    return [photo for photo in photos if photo.split == split and domain in (None, photo.domain)]
