"""What a bundle was made from: photographs by role, their licences and where they come from."""

from __future__ import annotations

import csv

from sightline_export.data import PhotoSet
from sightline_export.recipe import Recipe, Source

ROLES = ("train", "val", "test")
MOST_ORIGINS = 4


def describe(recipe: Recipe, photos: PhotoSet) -> list[dict[str, object]]:
    """Return for each source that has photographs: name, kind, photographs by role, licences and origins.

    Licences and origins are what the manifest's columns `licence` and `source` say of the rows that are used; a folder
    of photographs says nothing. More than four origins are summed up by their number.
    """
    found: list[dict[str, object]] = []
    for source in recipe.source:
        counts = {role: len(photos.where(source=source.name, role=role, studio=False)) for role in ROLES}
        counts["studio"] = len(photos.where(source=source.name, studio=True))
        if not any(counts.values()):
            continue
        licences, origins = _stated(recipe, source) if source.manifest else ([], [])
        if len(origins) > MOST_ORIGINS:
            origins = [f"{len(origins)} origins, {origins[0]} among them"]
        found.append(
            {"name": source.name, "kind": source.kind, "photographs": counts, "licences": licences, "origins": origins}
        )
    return found


def _stated(recipe: Recipe, source: Source) -> tuple[list[str], list[str]]:
    splits = {*source.train, *source.val, *source.test, *source.studio}
    with recipe.path(source.manifest).open(newline="", encoding="utf-8") as file:
        rows = [
            row
            for row in csv.DictReader(file)
            if row["split"] in splits and (not source.domain or row.get("domain") == source.domain)
        ]
    return _distinct(rows, "licence"), _distinct(rows, "source")


def _distinct(rows: list[dict[str, str]], column: str) -> list[str]:
    return sorted({row.get(column) or "" for row in rows} - {""})
