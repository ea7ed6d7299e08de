"""The catalogue: items with their vectors and codes. A call that returns has made its change durable."""

# ruff: noqa: S608  the names in the statements are our own, values travel beside them

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from sqlalchemy import Connection

from sightline_cloud import crash
from sightline_cloud.catalog import changelog
from sightline_cloud.catalog.backend import Row
from sightline_cloud.catalog.catalogue_feed import CatalogueFeed
from sightline_cloud.catalog.database import Database
from sightline_cloud.catalog.erase import Elsewhere, Receipt, erase, finish
from sightline_cloud.catalog.generations import Coverage, Registered, registered
from sightline_cloud.catalog.lookup import find
from sightline_cloud.catalog.recent import RecentItems
from sightline_cloud.catalog.records import (
    ITEM_FIELDS,
    Embedding,
    NewItem,
    StoredItem,
    blob_crc,
    blobs,
    check_blobs,
    check_item,
    field_crc,
    metadata_of,
)
from sightline_cloud.catalog.slots import slot_of
from sightline_cloud.catalog.verify import problems
from sightline_shared.errors import ItemNotFound, StoreError

ITEM_COLUMNS = ("pk", "slot", "crc", *ITEM_FIELDS)
FIELDS = ", ".join(f"items.{name}" for name in ITEM_FIELDS)
VECTOR_COLUMNS = ("pk", "vector", "code", "crc")
THUMBNAIL_COLUMNS = ("pk", "jpeg", "crc")
ID, METADATA = ITEM_FIELDS.index("id"), ITEM_FIELDS.index("metadata")
ITEM = f"SELECT pk, slot, crc, {FIELDS} FROM items WHERE tenant = ? AND id = ?"
BULK_BATCH = 5_000


class Store:
    """Items of every tenant. Every method takes the tenant, and none reads across two."""

    def __init__(self, database: Database, *, recent_bytes: int = 0) -> None:
        """`recent_bytes`: what items that were just read may take in memory, 0 to read them again every time."""
        self.database, self.recent = database, RecentItems(recent_bytes)
        self._backend = database.backend

    def add(self, tenant: str, items: Sequence[NewItem]) -> int:
        """Add `items`, replacing those of the same id, in one transaction; returns how many were replaced.

        Raises StoreError for a vector or code that is not of a live generation's size.
        """
        by_id = {item.id: item for item in items}  # of two with one id in a batch the later one counts
        # Before the lock is taken, since others wait for it.
        texts = {item.id: json.dumps(dict(item.metadata), ensure_ascii=False) for item in by_id.values()}
        stored = {item.id: self._blobs(item) for item in by_id.values()}
        created = datetime.now(UTC).isoformat(timespec="seconds")
        with self.database.write() as connection:
            replaced = self._remove(connection, tenant, list(by_id))
            pks = dict(zip(by_id, self._backend.next_numbers(connection, "items", len(by_id)), strict=True))
            slots = {item_id: slot_of(tenant, item_id) for item_id in by_id}
            fields = {pk: (tenant, key, texts[key], *by_id[key].size_px, created) for key, pk in pks.items()}
            rows = [(pk, slots[own[1]], field_crc(pk, *own), *own) for pk, own in fields.items()]
            self._backend.insert(connection, "items", ITEM_COLUMNS, rows)
            crash.point("add: items")
            self._insert_vectors(connection, {pk: stored[key] for key, pk in pks.items()})
            crash.point("add: vectors")
            jpegs = [(pk, by_id[key].thumbnail) for key, pk in pks.items() if by_id[key].thumbnail]
            thumbnails = [(pk, jpeg, blob_crc(pk, jpeg)) for pk, jpeg in jpegs]
            self._backend.insert(connection, "thumbnails", THUMBNAIL_COLUMNS, thumbnails)
            changelog.append(self._backend, connection, tenant, "add", [(pk, slots[key]) for key, pk in pks.items()])
        return len(replaced)

    def bulk_add(self, tenant: str, items: Iterable[NewItem], *, batch: int = BULK_BATCH) -> Iterator[int]:
        """Add any number of items, drawn from `items` as they are needed; yields how many each durable batch had."""
        source = iter(items)
        while chunk := list(islice(source, batch)):
            self.add(tenant, chunk)
            yield len(chunk)

    def add_vectors(self, tenant: str, generation: str, embeddings: Mapping[str, Embedding]) -> int:
        """Give items that are there vectors of a generation that they lack; returns how many got one.

        `embeddings` by item id; an id that is not there, or has its vector already, is left alone.
        """
        kind = self.database.generation(generation)
        stored = {item_id: blobs(item_id, embedding, kind) for item_id, embedding in embeddings.items()}
        sql = f"SELECT pk FROM {kind.table} WHERE pk {self._backend.among_pks}"
        with self.database.write() as connection:
            found = find(self._backend, connection, tenant, list(stored))
            have = {pk for (pk,) in self._run(connection, sql, self._backend.array([pk for pk, _, _ in found]))}
            found = [row for row in found if row[0] not in have]
            self._insert_vectors(connection, {pk: {generation: stored[item_id]} for pk, item_id, _ in found})
            crash.point("add_vectors: vectors")
            rows = [(pk, slot) for pk, _, slot in found]
            changelog.append(self._backend, connection, tenant, "add", rows, kind.number)
        return len(found)

    def lacking(self, tenant: str, generation: str) -> set[str]:
        """Return the ids of the items of `tenant` that have no vector of a generation."""
        kind = self.database.generation(generation)
        sql = (
            f"SELECT id FROM items LEFT JOIN {kind.table} own ON own.pk = items.pk WHERE tenant = ? AND own.pk IS NULL"
        )
        return {item_id for (item_id,) in self.database.ask(sql, (tenant,))}

    def update_metadata(
        self,
        tenant: str,
        item_id: str,
        changes: Mapping[str, Any],
        check: Callable[[dict[str, Any]], None] | None = None,
    ) -> dict[str, Any]:
        """Change single values of an item's metadata, None removes one; returns all of it. Raises ItemNotFound.

        `check` sees all of it before anything is written, and may raise.
        """
        with self.database.write() as connection:
            found = self._run(connection, ITEM, tenant, item_id)
            if not found:
                raise _not_found(item_id)
            pk, slot, crc, *fields = found[0]
            check_item(self.database.name, pk, crc, *fields)
            before = json.loads(fields[METADATA])
            merged = {key: value for key, value in {**before, **changes}.items() if value is not None}
            if check is not None:
                check(merged)
            fields[METADATA] = json.dumps(merged, ensure_ascii=False)
            sql = self._backend.sql("UPDATE items SET metadata = ?, crc = ? WHERE pk = ?")
            connection.exec_driver_sql(sql, (fields[METADATA], field_crc(pk, *fields), pk))
            crash.point("update: item")
            changelog.append(self._backend, connection, tenant, "update", [(pk, slot)])
        return merged

    def remove(self, tenant: str, ids: Sequence[str]) -> list[str]:
        """Remove items; returns the ids that were there."""
        with self.database.write() as connection:
            return [item_id for _, item_id in self._remove(connection, tenant, ids)]

    def erase(self, tenant: str, ids: Sequence[str], elsewhere: Mapping[str, Elsewhere] | None = None) -> Receipt:
        """Erase every trace of items here and `elsewhere`, by name of the place; see erase.py. Raises StoreError."""
        try:
            return erase(self.database, tenant, ids, elsewhere or {})
        finally:
            self.recent.clear()

    def finish_erasures(self, elsewhere: Mapping[str, Elsewhere]) -> list[int]:
        """Erase what crashes have left of erasures; returns the numbers of these. Raises StoreError."""
        return sorted(finish(self.database, elsewhere))

    def get(self, tenant: str, item_id: str) -> dict[str, Any]:
        """Return one item for people, without vector and code; raises ItemNotFound."""
        found = self.database.ask(ITEM, (tenant, item_id))
        if not found:
            raise _not_found(item_id)
        pk, _, crc, *fields = found[0]
        check_item(self.database.name, pk, crc, *fields)
        shown = dict(zip(ITEM_FIELDS[1:], fields[1:], strict=True))  # all but the tenant
        return {**shown, "metadata": json.loads(fields[METADATA])}

    def thumbnail(self, tenant: str, item_id: str) -> bytes:
        """Return one item's thumbnail (JPEG); raises ItemNotFound."""
        sql = (
            f"SELECT items.pk, jpeg, thumbnails.crc, items.crc, {FIELDS} FROM items "
            "JOIN thumbnails ON thumbnails.pk = items.pk WHERE tenant = ? AND id = ?"
        )
        found = self.database.ask(sql, (tenant, item_id))
        if not found:
            raise _not_found(item_id)
        pk, jpeg, own_crc, crc, *fields = found[0]
        check_item(self.database.name, pk, crc, *fields)
        check_blobs(self.database.name, pk, own_crc, jpeg)
        return bytes(jpeg)

    def hydrate(self, tenant: str, pks: Sequence[int], generation: str | None = None) -> dict[int, StoredItem]:
        """Return the items of `tenant` among `pks`: an item that has just been removed is simply not there.

        Codes are those of `generation`, by default the primary one.
        """
        kind, known = self.database.generation(generation), {}
        version = self.database.version() if self.recent.keeps else None
        if version is not None:
            known = self.recent.get(version, tenant, kind.pairing_id, pks)
        if missing := [pk for pk in pks if pk not in known]:
            read = self._read_items(tenant, missing, kind)
            if version is not None:
                self.recent.put(version, tenant, kind.pairing_id, read)
            known.update(read)
        return known

    def feed(self, generation: str | None = None, slots: Collection[int] | None = None) -> CatalogueFeed:
        """Return what an index of `generation`, by default the primary one, is built from and follows."""
        return CatalogueFeed(self.database, self.database.generation(generation), slots)

    def position(self) -> int:
        """Return the number of the last acknowledged change."""
        return changelog.position(self.database)

    def prune_changes(self, keep_after_seq: int) -> int:
        """Forget the changes up to `keep_after_seq`; returns how many. Indexes that stand before it are built anew."""
        return changelog.prune(self.database, keep_after_seq)

    def counts(self) -> dict[str, int]:
        """Return the number of items of each tenant."""
        return dict(self.database.ask("SELECT tenant, count(*) FROM items GROUP BY tenant"))

    def verify(self, progress: Callable[[int], None] | None = None) -> list[str]:
        """Return what is wrong with the catalogue; reads all of it. See verify.py."""
        return problems(self.database, progress)

    def coverage(self) -> list[Coverage]:
        """Return how many items have a vector in each generation of the catalogue, live or not."""
        with self.database.read() as connection:
            (total,) = connection.exec_driver_sql("SELECT count(*) FROM items").one()
            counted = []
            for kind in registered(connection):
                count = connection.exec_driver_sql(f"SELECT count(*) FROM {kind.table}").scalar_one()
                counted.append(Coverage(kind.pairing_id, kind.label, kind.dim, kind.code_size, count, total - count))
        return counted

    def _read_items(self, tenant: str, pks: Sequence[int], kind: Registered) -> dict[int, StoredItem]:
        """Return those of the tenant's `pks` that are there."""
        # The joined '' keeps SQLite from the indexes over tenant, through which it would read all of the tenant's items.
        sql = (
            f"SELECT items.pk, vector, code, own.crc, items.crc, {FIELDS} FROM items "
            f"LEFT JOIN {kind.table} own ON own.pk = items.pk "
            f"WHERE tenant || '' = ? AND items.pk {self._backend.among_pks}"
        )
        rows = self.database.ask(sql, (tenant, self._backend.array(pks)))
        for pk, vector, code, own_crc, crc, *fields in rows:
            check_item(self.database.name, pk, crc, *fields)
            if code is not None:
                check_blobs(self.database.name, pk, own_crc, vector, code)
        maps = metadata_of([row[5 + METADATA] for row in rows])
        return {
            row[0]: StoredItem(row[0], row[5 + ID], metadata, row[2] or b"")
            for row, metadata in zip(rows, maps, strict=True)
        }

    def _blobs(self, item: NewItem) -> dict[str, tuple[bytes, bytes]]:
        if not item.embeddings:
            raise StoreError(f"item {item.id!r}: expected a vector of at least one generation, got none.")
        return {key: blobs(item.id, own, self.database.generation(key)) for key, own in item.embeddings.items()}

    def _insert_vectors(self, connection: Connection, stored: Mapping[int, Mapping[str, tuple[bytes, bytes]]]) -> None:
        for key, kind in self.database.generations.items():
            found = [(pk, *own[key]) for pk, own in stored.items() if key in own]
            rows = [(pk, vector, code, blob_crc(pk, vector, code)) for pk, vector, code in found]
            self._backend.insert(connection, kind.table, VECTOR_COLUMNS, rows)

    def _remove(self, connection: Connection, tenant: str, ids: Collection[str]) -> list[tuple[int, str]]:
        found = find(self._backend, connection, tenant, list(ids))
        if found:
            # Vectors and thumbnails go with their item.
            sql = self._backend.sql(f"DELETE FROM items WHERE pk {self._backend.among_pks}")
            connection.exec_driver_sql(sql, (self._backend.array([pk for pk, _, _ in found]),))
            crash.point("remove: items")
            changelog.append(self._backend, connection, tenant, "remove", [(pk, slot) for pk, _, slot in found])
        return [(pk, item_id) for pk, item_id, _ in found]

    def _run(self, connection: Connection, sql: str, *values: Any) -> list[Row]:
        return [tuple(row) for row in connection.exec_driver_sql(self._backend.sql(sql), values).all()]


def _not_found(item_id: str) -> ItemNotFound:
    return ItemNotFound(f"item: expected an id of your catalogue, got {item_id!r}.")
