"""Finds items by id, for those who are about to change them."""

# ruff: noqa: S608  the names in the statements are our own, values travel beside them

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from sightline_cloud.catalog.backend import Backend
from sightline_shared.errors import StoreCorrupt


def find(backend: Backend, connection: Connection, tenant: str, ids: Sequence[str]) -> list[tuple[int, str, int]]:
    """Return pk, id and slot of those items of `tenant` that are there, in order of pk; raises StoreCorrupt.

    The rows themselves are asked for their ids, not only the index: a damaged index must not lead to another's removal.
    """
    by_id = f"SELECT pk FROM items WHERE tenant = ? AND id {backend.among_texts}"
    sql = backend.sql(f"SELECT pk, id, slot, tenant FROM items WHERE pk IN ({by_id}) ORDER BY pk")
    rows = connection.exec_driver_sql(sql, (tenant, backend.array(ids))).all()
    wanted = set(ids)
    if strays := [row.pk for row in rows if row.id not in wanted or row.tenant != tenant]:
        raise StoreCorrupt(
            f"{backend.name}: expected an item at pk {strays[0]}, got a row of another id than its index says."
        )
    return [(row.pk, row.id, row.slot) for row in rows]
