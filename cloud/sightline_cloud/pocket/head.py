"""The head of a tenant's catalogue: the items that devices carry with them.

First those that the operator names, then the newest: an item that is added again counts as new. Items that say of
themselves `available: false` or `archived: true` are left out. The catalogue is read from its newest item backwards, until there are enough or
`LOOKED_AT` times as many were looked at, so that the cost does not grow with the catalogue.
"""

# ruff: noqa: S608  the names in the statements are our own, values travel beside them

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from sightline_cloud.catalog import changelog
from sightline_cloud.catalog.database import Database
from sightline_cloud.catalog.generations import Registered
from sightline_cloud.catalog.records import ITEM_FIELDS, check_blobs, check_item, codes_of
from sightline_cloud.index.filters import ARCHIVED, AVAILABLE
from sightline_cloud.pocket.version import Version, lineage_of
from sightline_shared.errors import StoreCorrupt
from sightline_shared.pocket_file import Identity, Pocket
from sightline_shared.where import MAX_TEXT_CHARS

TITLE = "title"
TITLE_CHARS = 60
LOOKED_AT = 4
CHUNK = 1000
_ENCODER = json.JSONEncoder(ensure_ascii=False)
# Above every pk.
TOP = 2**62
TENANT, ID, METADATA = (ITEM_FIELDS.index(name) for name in ("tenant", "id", "metadata"))


@dataclass(frozen=True)
class Wanted:
    """What the head is to hold: `items` at most, those with the ids `listed` first, with the metadata `filter_keys`."""

    tenant: str
    items: int
    listed: tuple[str, ...]
    filter_keys: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Head:
    """A head as it was read: `listed` `(n,) bool` says which rows the operator named."""

    pocket: Pocket
    version: Version
    listed: NDArray[np.bool_]

    def at(self, seq: int) -> Head:
        """Return the same head as of a later change, up to which none concerned it."""
        version = dataclasses.replace(self.version, seq=seq)
        return Head(dataclasses.replace(self.pocket, version=str(version), seq=seq), version, self.listed)


@dataclass(frozen=True)
class _Row:
    pk: int
    code: bytes
    cells: tuple[bytes, ...] | None  # None: not available


def read_head(
    database: Database, generation: Registered, wanted: Wanted, progress: Callable[[float], None] | None = None
) -> Head:
    """Return the head of one consistent view of the catalogue; raises StoreError. `progress` is told the share done."""
    with database.read() as connection:
        seq = int(connection.exec_driver_sql(changelog.POSITION).scalar_one())
        reader = _Reader(connection, database, generation, wanted)
        listed = reader.listed()
        newest, floor = reader.newest({row.pk for row in listed}, wanted.items - _count(listed), progress)
    rows = sorted((row for row in [*listed, *newest] if row.cells), key=lambda row: row.pk)
    named = {row.pk for row in listed}
    identity = Identity(
        bytes.fromhex(generation.pairing_id), bytes.fromhex(database.catalogue_id), wanted.tenant, wanted.filter_keys
    )
    pocket = Pocket(
        identity,
        "",
        seq,
        np.array([row.pk for row in rows], np.int64),
        codes_of([row.code for row in rows], generation.code_size),
        tuple(zip(*(row.cells for row in rows if row.cells), strict=True)) or ((),) * identity.columns,
    )
    version = Version(lineage_of(identity, wanted.listed), seq, floor, pocket.digest.hex()[:32])
    return Head(pocket, version, np.array([row.pk in named for row in rows], bool)).at(seq)


def cells_of(item_id: str, metadata: Mapping[str, Any], filter_keys: Sequence[str]) -> tuple[bytes, ...]:
    """Return an item's cells: its id, a short title, and what filters may ask for."""
    title = metadata.get(TITLE)
    short = title[:TITLE_CHARS].rstrip() if isinstance(title, str) else None
    wanted = (metadata.get(key) for key in filter_keys)
    # Filters hold no longer texts, so that such a value is never asked for.
    values = (None if isinstance(value, str) and len(value) > MAX_TEXT_CHARS else value for value in wanted)
    return tuple(b"" if each is None else _json(each) for each in (item_id, short, *values))


def _json(value: str | int | float) -> bytes:
    return _ENCODER.encode(value).encode()


class _Reader:
    """Reads one tenant's items within one transaction."""

    def __init__(self, connection: Connection, database: Database, generation: Registered, wanted: Wanted) -> None:
        self._connection, self._database, self._wanted = connection, database, wanted
        columns = f"items.pk, own.vector, own.code, own.crc, items.crc, {', '.join(f'items.{n}' for n in ITEM_FIELDS)}"
        self._select = (
            f"SELECT {columns} FROM items JOIN {generation.table} own ON own.pk = items.pk WHERE items.tenant = ? AND "
        )

    def listed(self) -> list[_Row]:
        """Return the items that the operator named, those that are not available among them."""
        backend, ids = self._database.backend, self._wanted.listed
        where = f"items.id {backend.among_texts}"
        return [
            row
            for start in range(0, len(ids), CHUNK)
            for row in self._rows(where, backend.array(ids[start : start + CHUNK]))
        ]

    def newest(self, taken: set[int], count: int, progress: Callable[[float], None] | None) -> tuple[list[_Row], int]:
        """Return the `count` newest other items that are available, and the lowest pk that was looked at, 0 for all."""
        rows: list[_Row] = []
        if count <= 0:
            return rows, TOP
        for looked, row in enumerate(self._backwards(), 1):
            if row.cells and row.pk not in taken:
                rows.append(row)
            if progress and not len(rows) % CHUNK:
                progress(len(rows) / count)
            if len(rows) == count or looked == LOOKED_AT * self._wanted.items:
                return rows, row.pk
        return rows, 0

    def _backwards(self) -> Iterator[_Row]:
        last = TOP
        while found := self._rows("items.pk < ? ORDER BY items.pk DESC LIMIT ?", last, CHUNK):
            yield from found
            last = found[-1].pk

    def _rows(self, where: str, *values: Any) -> list[_Row]:
        sql = self._database.backend.sql(self._select + where)
        found = self._connection.exec_driver_sql(sql, (self._wanted.tenant, *values)).all()
        return [self._row(*row) for row in found]

    def _row(self, pk: int, vector: bytes, code: bytes, own_crc: int, crc: int, *fields: Any) -> _Row:
        check_item(self._database.name, pk, crc, *fields)
        check_blobs(self._database.name, pk, own_crc, vector, code)
        if fields[TENANT] != self._wanted.tenant:  # which a damaged index of the database may do
            raise StoreCorrupt(
                f"{self._database.name}: expected items of '{self._wanted.tenant}', got another's at {pk}."
            )
        metadata = json.loads(fields[METADATA])
        available = metadata.get(AVAILABLE) is not False and metadata.get(ARCHIVED) is not True
        cells = cells_of(fields[ID], metadata, self._wanted.filter_keys) if available else None
        return _Row(pk, code, cells)


def _count(rows: list[_Row]) -> int:
    return sum(row.cells is not None for row in rows)
