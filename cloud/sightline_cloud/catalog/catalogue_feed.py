"""What indexes are built from and follow: one generation of the catalogue, whole or some of its slots."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from sqlalchemy import Connection

from sightline_cloud.catalog import changelog
from sightline_cloud.catalog.backend import Row
from sightline_cloud.catalog.database import Database
from sightline_cloud.catalog.feed import Change, Rows, Snapshot
from sightline_cloud.catalog.generations import Registered
from sightline_cloud.catalog.records import ITEM_FIELDS, check_blobs, check_item, codes_of, metadata_of, vectors_of
from sightline_cloud.logs import warn
from sightline_shared.errors import StoreCorrupt

COLUMNS = f"items.pk, own.vector, own.code, own.crc, items.crc, {', '.join(ITEM_FIELDS)}"
METADATA = 5 + ITEM_FIELDS.index("metadata")


class CatalogueFeed:
    """The seam `feed.Feed` over a database."""

    def __init__(self, database: Database, generation: Registered, slots: Collection[int] | None = None) -> None:
        """Feed the items of `slots`, or all, that have a vector in `generation`."""
        self._database, self._generation = database, generation
        self._slots = "" if slots is None else f" AND slot IN ({', '.join(map(str, sorted(slots))) or 'NULL'})"
        self._tables = f"FROM items JOIN {generation.table} own ON own.pk = items.pk"

    @property
    def catalogue_id(self) -> str:
        return self._database.catalogue_id

    def position(self) -> int:
        """Return the number of the last acknowledged change, of whichever slot and generation."""
        return changelog.position(self._database)

    def tenants(self) -> dict[str, int]:
        """Return how many items each tenant has here."""
        rows = self._database.ask(f"SELECT tenant, count(*) {self._tables} WHERE 1 = 1{self._slots} GROUP BY tenant")
        return dict(rows)

    def changes_since(self, seq: int, limit: int = 10_000) -> list[Change]:
        """Return the next changes after `seq`, in order; raises ChangesPruned.

        Whoever asks for some slots only, and gets fewer than `limit`, may take the position that it read before as the
        next `seq`: what lies between concerned others.
        """
        return changelog.changes_since(self._database, seq, self._generation.number, self._slots, limit)

    def rows(self, pks: Sequence[int]) -> Rows:
        """Return those of `pks` that are still there; raises StoreCorrupt for a damaged one."""
        backend = self._database.backend
        sql = f"SELECT {COLUMNS} {self._tables} WHERE items.pk {backend.among_pks}{self._slots} ORDER BY items.pk"
        return self._checked(self._database.ask(sql, (backend.array([int(pk) for pk in pks]),)))

    @contextmanager
    def snapshot(self, tenant: str, chunk: int = 65_536) -> Iterator[Snapshot]:
        """Open a consistent view; memory is bounded by one chunk."""
        backend = self._database.backend
        with self._database.read() as connection:
            seq = int(connection.exec_driver_sql(changelog.POSITION).scalar_one())
            sql = backend.sql(f"SELECT count(*) {self._tables} WHERE tenant = ?{self._slots}")
            count = int(connection.exec_driver_sql(sql, (tenant,)).scalar_one())
            damaged: list[int] = []
            yield Snapshot(seq, count, self._chunks(connection, tenant, chunk, damaged), damaged)

    def _chunks(self, connection: Connection, tenant: str, chunk: int, damaged: list[int]) -> Iterator[Rows]:
        sql = self._database.backend.sql(
            f"SELECT {COLUMNS} {self._tables} WHERE items.tenant = ? AND items.pk > ?{self._slots} "
            "ORDER BY items.pk LIMIT ?"
        )
        last = 0
        while found := connection.exec_driver_sql(sql, (tenant, last, chunk)).all():
            pks = [row[0] for row in found]
            if pks[0] <= last or (np.diff(pks) <= 0).any():
                raise StoreCorrupt(f"{self._database.name}: expected pks that ascend after {last}, got others.")
            last = pks[-1]
            yield self._checked([tuple(row) for row in found], damaged)

    def _checked(self, rows: list[Row], damaged: list[int] | None = None) -> Rows:
        """Return rows that are as they were stored. The pks of others go to `damaged`; without it they are StoreCorrupt."""
        where, sound = self._database.name, []
        for row in rows:
            pk, vector, code, own_crc, crc, *fields = row
            try:
                check_item(where, pk, crc, *fields)
                check_blobs(where, pk, own_crc, vector, code)
                sound.append(row)
            except StoreCorrupt as error:
                if damaged is None:
                    raise
                damaged.append(pk)
                warn("row_damaged", pk=pk, reason=error.message)
        return self._rows(sound)

    def _rows(self, rows: list[Row]) -> Rows:
        kind = self._generation
        return Rows(
            pks=np.array([row[0] for row in rows], np.int64),
            vectors=vectors_of([row[1] for row in rows], kind.dim),
            codes=codes_of([row[2] for row in rows], kind.code_size),
            metadata=metadata_of([row[METADATA] for row in rows]),
        )
