"""Looks at every row of the catalogue, which no query does, and says which ones are damaged."""

# ruff: noqa: S608  the names in the statements are our own, values travel beside them

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from sightline_cloud.catalog.backend import Row
from sightline_cloud.catalog.database import Database
from sightline_cloud.catalog.generations import registered
from sightline_cloud.catalog.records import ITEM_FIELDS, field_crc, sound_blobs
from sightline_cloud.catalog.slots import slot_of

CHUNK = 2_000
MAX_TOLD = 100
CHANGED = "is not as it was stored: its checksum differs"


def problems(database: Database, progress: Callable[[int], None] | None = None) -> list[str]:
    """Return what is wrong with the catalogue, at most 100 lines, none when nothing is; reads all of it.

    `progress` is told how many rows were looked at since the last time. Raises StoreError when it cannot be read on.
    """
    told = database.check()
    with database.read() as connection:
        generations = registered(connection)
    told += _rows(database, "items", ("pk", "slot", *ITEM_FIELDS), _item_problem, progress)
    told += _rows(database, "thumbnails", ("pk", "jpeg"), _blob_problem, progress)
    for kind in generations:
        told += _rows(database, kind.table, ("pk", "vector", "code"), _blob_problem, progress)
    told += _rows(database, "changes", ("seq", "tenant", "pk", "slot", "op", "generation"), _change_problem, progress)
    return told[:MAX_TOLD]


def _rows(
    database: Database,
    table: str,
    columns: Sequence[str],
    problem: Callable[[Row], str],
    progress: Callable[[int], None] | None,
) -> Iterator[str]:
    key, last = columns[0], 0
    sql = f"SELECT {', '.join(columns)}, crc FROM {table} WHERE {key} > ? ORDER BY {key} LIMIT {CHUNK}"
    while rows := database.ask(sql, (last,)):
        keys = [last, *(row[0] for row in rows)]
        if any(later <= earlier for earlier, later in pairwise(keys)):
            yield f"{table}: rows after {key} {last} are out of order"
            return  # whoever followed them would go round for ever
        last = keys[-1]
        for row in rows:
            if wrong := problem(row):
                yield f"{table}: {key} {row[0]}: {wrong}"
        if progress:
            progress(len(rows))


def _item_problem(row: Row) -> str:
    pk, slot, *fields, crc = row
    tenant, item_id = fields[:2]
    if field_crc(pk, *fields) != crc:
        return f"item {item_id!r} of tenant '{tenant}' {CHANGED}"
    expected = slot_of(tenant, item_id)
    return "" if slot == expected else f"item {item_id!r} of tenant '{tenant}': expected slot {expected}, got {slot}"


def _blob_problem(row: Row) -> str:
    pk, *parts, crc = row
    return "" if sound_blobs(pk, crc, *parts) else CHANGED


def _change_problem(row: Row) -> str:
    *fields, crc = row
    return "" if field_crc(*fields) == crc else CHANGED
