"""The catalogue: items with their vectors and codes. A call that returns has made its change durable."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, delete, func, insert, select

from sightline_cloud.catalog.database import Database
from sightline_cloud.catalog.schema import CHANGES, ITEMS, THUMBNAILS
from sightline_shared.errors import ItemNotFound, StoreCorrupt

# SQLite allows 32,766 parameters a statement; a lookup asks for far fewer.
LOOKUP_CHUNK = 500


@dataclass(frozen=True, eq=False)
class NewItem:
    """An item to be added: `vector` `(d,) float32` of unit length, `code` its codec bytes, `thumbnail` a small JPEG."""

    id: str
    vector: NDArray[np.float32]
    code: bytes
    thumbnail: bytes
    size_px: tuple[int, int]
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class StoredItem:
    """What an answer needs of an item."""

    pk: int
    id: str
    metadata: dict[str, Any]
    code: bytes


@dataclass(frozen=True)
class Change:
    """One line of the change log."""

    seq: int
    tenant: str
    pk: int
    op: str


class Store:
    """Items of every tenant. Every method takes the tenant, and none reads across two."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def add(self, tenant: str, items: Sequence[NewItem]) -> int:
        """Add `items`, replacing those of the same id, in one transaction; returns how many were replaced."""
        by_id = {item.id: item for item in items}  # of two with one id in a batch the later one counts
        with self.database.write() as connection:
            replaced = self._remove(connection, tenant, list(by_id))
            created = datetime.now(UTC).isoformat(timespec="seconds")
            for item in by_id.values():
                row = connection.execute(
                    insert(ITEMS).values(
                        tenant=tenant,
                        id=item.id,
                        metadata=json.dumps(dict(item.metadata), ensure_ascii=False),
                        vector=item.vector.astype("<f2").tobytes(),
                        code=item.code,
                        width=item.size_px[0],
                        height=item.size_px[1],
                        created=created,
                    )
                )
                (pk,) = row.inserted_primary_key or (0,)
                connection.execute(insert(THUMBNAILS).values(pk=pk, jpeg=item.thumbnail))
                connection.execute(insert(CHANGES).values(tenant=tenant, pk=pk, op="add"))
        return len(replaced)

    def remove(self, tenant: str, ids: Sequence[str]) -> list[str]:
        """Remove items; returns the ids that were there."""
        with self.database.write() as connection:
            return self._remove(connection, tenant, list(ids))

    def _remove(self, connection: Connection, tenant: str, ids: list[str]) -> list[str]:
        removed: list[str] = []
        for start in range(0, len(ids), LOOKUP_CHUNK):
            chunk = ids[start : start + LOOKUP_CHUNK]
            found = select(ITEMS.c.pk, ITEMS.c.id).where(ITEMS.c.tenant == tenant, ITEMS.c.id.in_(chunk))
            rows = connection.execute(found).all()
            if rows:
                connection.execute(delete(ITEMS).where(ITEMS.c.pk.in_([row.pk for row in rows])))
                log = [{"tenant": tenant, "pk": row.pk, "op": "remove"} for row in rows]
                connection.execute(insert(CHANGES), log)
                removed += [row.id for row in rows]
        return removed

    def get(self, tenant: str, item_id: str) -> dict[str, Any]:
        """Return one item for people, without vector and code; raises ItemNotFound."""
        columns = (ITEMS.c.id, ITEMS.c.metadata, ITEMS.c.width, ITEMS.c.height, ITEMS.c.created)
        with self.database.read() as connection:
            row = connection.execute(
                select(*columns).where(ITEMS.c.tenant == tenant, ITEMS.c.id == item_id)
            ).one_or_none()
        if row is None:
            raise ItemNotFound(f"item: expected an id of your catalogue, got {item_id!r}.")
        return {**row._mapping, "metadata": json.loads(row.metadata)}

    def thumbnail(self, tenant: str, item_id: str) -> bytes:
        """Return one item's thumbnail (JPEG); raises ItemNotFound."""
        with self.database.read() as connection:
            jpeg = connection.execute(
                select(THUMBNAILS.c.jpeg)
                .join(ITEMS, ITEMS.c.pk == THUMBNAILS.c.pk)
                .where(ITEMS.c.tenant == tenant, ITEMS.c.id == item_id)
            ).scalar_one_or_none()
        if jpeg is None:
            raise ItemNotFound(f"item: expected an id of your catalogue, got {item_id!r}.")
        return bytes(jpeg)

    def hydrate(self, tenant: str, pks: Sequence[int]) -> dict[int, StoredItem]:
        """Return the items of `tenant` among `pks`: an item that has just been removed is simply not there."""
        marks = ",".join("?" * len(pks))
        # A raw statement: this runs for every query, and building it through Core costs more than running it. The plus
        # keeps SQLite from the index over (tenant, id), through which it would read all of the tenant's items.
        sql = f"SELECT pk, id, metadata, code FROM items WHERE +tenant = ? AND pk IN ({marks})"  # noqa: S608  marks only
        with self.database.read() as connection:
            rows = connection.exec_driver_sql(sql, (tenant, *pks)).all()
        return {pk: StoredItem(pk, item_id, json.loads(text), code) for pk, item_id, text, code in rows}

    def vectors(self, pks: Sequence[int], dim: int) -> dict[int, NDArray[np.float32]]:
        """Return the stored vectors `(dim,) float32` of those `pks`, at most 30,000, that are there."""
        marks = ",".join("?" * len(pks))
        sql = f"SELECT pk, vector FROM items WHERE pk IN ({marks})"  # noqa: S608  marks only
        with self.database.read() as connection:
            rows = connection.exec_driver_sql(sql, tuple(pks)).all()
        return dict(zip([pk for pk, _ in rows], self._floats([blob for _, blob in rows], dim), strict=True))

    def position(self) -> int:
        """Return the number of the last change."""
        with self.database.read() as connection:
            return self._position(connection)

    def load(
        self, dim: int, tenant: str | None = None
    ) -> tuple[int, dict[str, tuple[NDArray[np.int64], NDArray[np.float32]]]]:
        """Return the change log's position and pks `(n,)` and vectors `(n, dim)` by tenant, one snapshot.

        Of one `tenant` or of all; a tenant without items is not there.
        """
        loaded = {}
        with self.database.read() as connection:
            seq = self._position(connection)
            wanted = select(ITEMS.c.tenant).distinct()
            if tenant is not None:
                wanted = wanted.where(ITEMS.c.tenant == tenant)
            for (name,) in connection.execute(wanted).all():
                rows = connection.exec_driver_sql(
                    "SELECT pk, vector FROM items WHERE tenant = ? ORDER BY pk", (name,)
                ).all()
                pks = np.array([pk for pk, _ in rows], np.int64)
                loaded[name] = (pks, self._floats([blob for _, blob in rows], dim))
        return seq, loaded

    def _position(self, connection: Connection) -> int:
        return int(connection.execute(select(func.coalesce(func.max(CHANGES.c.seq), 0))).scalar_one())

    def _floats(self, blobs: Sequence[bytes], dim: int) -> NDArray[np.float32]:
        if any(len(blob) != 2 * dim for blob in blobs):
            raise StoreCorrupt(f"{self.database.path}: expected vectors of {2 * dim} bytes, got one of another size.")
        vectors: NDArray[np.float32] = np.frombuffer(b"".join(blobs), "<f2").reshape(-1, dim).astype(np.float32)
        if not np.isfinite(vectors).all():
            raise StoreCorrupt(f"{self.database.path}: expected vectors of finite numbers, got one that is not.")
        return vectors

    def changes_since(self, seq: int) -> list[Change]:
        """Return the change log after position `seq`, in order."""
        with self.database.read() as connection:
            rows = connection.exec_driver_sql(
                "SELECT seq, tenant, pk, op FROM changes WHERE seq > ? ORDER BY seq", (seq,)
            ).all()
        return [Change(*row) for row in rows]

    def counts(self) -> dict[str, int]:
        """Return the number of items of each tenant."""
        with self.database.read() as connection:
            rows = connection.execute(select(ITEMS.c.tenant, func.count()).group_by(ITEMS.c.tenant)).all()
        return {row[0]: row[1] for row in rows}
