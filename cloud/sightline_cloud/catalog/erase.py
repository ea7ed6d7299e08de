"""Erasing: nothing of an item is left, neither here nor in what was built from it, and a receipt says so.

An erasure has two steps. The first removes the items and notes what is still to be erased elsewhere, in one
transaction: from then on they never answer, and the erasure cannot be forgotten. The second erases the traces in index
files, caches and the database's own log, and completes the receipt. A crash, or a trace that cannot be erased just now,
leaves the second step open; the service's next start, or the next erasure, takes it up again.

The receipt that stays in the catalogue names ids only as digests, salted with the catalogue's random name: it holds
nothing of what was erased, cannot be compared with another catalogue's, and still proves that a given id was erased.
"""

# ruff: noqa: S608  the names in the statements are our own, values travel beside them

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from sightline_cloud import crash
from sightline_cloud.catalog import changelog
from sightline_cloud.catalog.database import Database
from sightline_cloud.catalog.generations import registered
from sightline_cloud.catalog.lookup import find

# Erases a tenant's pks in one place, and returns lines for the receipt. May be called again with the same pks.
Elsewhere = Callable[[str, list[int]], Any]


@dataclass(frozen=True)
class Receipt:
    """What was erased. `content` is what the catalogue keeps, `sha256` its digest; ids are in the caller's copy only.

    `found` were erased now, `earlier` by the erasures of these numbers, `unknown` were never there, or left by an
    ordinary removal.
    """

    content: dict[str, Any]
    sha256: str
    found: list[str]
    earlier: dict[str, int]
    unknown: list[str]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def erase(database: Database, tenant: str, ids: Sequence[str], elsewhere: Mapping[str, Elsewhere]) -> Receipt:
    """Erase items in the catalogue and `elsewhere`, by name of the place; returns the receipt.

    Raises StoreUnavailable when a trace cannot be erased just now: the items are gone, and the next call, with these ids
    or others, erases what is left of them.
    """
    wanted = list(dict.fromkeys(ids))
    with database.write() as connection:
        number, found = _remove(database, connection, tenant, wanted)
    contents = finish(database, elsewhere)
    if number not in contents:  # another process was quicker
        contents[number] = _finish(database, number, elsewhere)
    before = _erased_before(database, tenant, number)
    gone = {key: before.get(id_digest(database.catalogue_id, tenant, key)) for key in wanted if key not in found}
    earlier = {key: at for key, at in gone.items() if at is not None}
    unknown = [key for key, at in gone.items() if at is None]
    return Receipt(contents[number], content_digest(contents[number]), found, earlier, unknown)


def finish(database: Database, elsewhere: Mapping[str, Elsewhere]) -> dict[int, dict[str, Any]]:
    """Erase what is left of the erasures that are open; returns their receipts' contents by number.

    Raises StoreUnavailable when a trace cannot be erased just now.
    """
    return {number: _finish(database, number, elsewhere) for number in _open(database)}


def is_genuine(database: Database, receipt: Mapping[str, Any]) -> bool:
    """Return whether `receipt`, as `Receipt.to_dict` gave it, is one of this catalogue's and unchanged."""
    content = receipt.get("content")
    if not isinstance(content, dict) or not isinstance(number := content.get("number"), int):
        return False
    kept = database.ask("SELECT receipt FROM erasures WHERE number = ? AND pks IS NULL", (number,))
    digests = {id_digest(database.catalogue_id, str(content.get("tenant")), key) for key in receipt.get("found", [])}
    return (
        bool(kept)
        and json.loads(kept[0][0]) == content
        and receipt.get("sha256") == content_digest(content)
        and digests == set(content.get("ids", []))
    )


def id_digest(catalogue_id: str, tenant: str, item_id: str) -> str:
    """Return how a receipt names an id: 16 bytes of blake2b, keyed with the catalogue's name, as hex."""
    return hashlib.blake2b(f"{tenant}\0{item_id}".encode(), digest_size=16, key=bytes.fromhex(catalogue_id)).hexdigest()


def content_digest(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a receipt's content: of its JSON with sorted keys and without spaces."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _remove(database: Database, connection: Connection, tenant: str, ids: list[str]) -> tuple[int, list[str]]:
    backend = database.backend
    rows = find(backend, connection, tenant, ids)
    pks, found = [row[0] for row in rows], [row[1] for row in rows]
    counts = {table: _count(database, connection, table, pks) for table in _tables(connection)}
    connection.exec_driver_sql(backend.sql(f"DELETE FROM items WHERE pk {backend.among_pks}"), (backend.array(pks),))
    crash.point("erase: items")
    changelog.append(backend, connection, tenant, "remove", [(pk, slot) for pk, _, slot in rows])
    content = {
        "catalogue_id": database.catalogue_id,
        "tenant": tenant,
        "begun": _now(),
        "seq": int(connection.exec_driver_sql(changelog.POSITION).scalar_one()),
        "ids": sorted(id_digest(database.catalogue_id, tenant, item_id) for item_id in found),
        "erased": {"catalogue": counts},
    }
    number = int(connection.exec_driver_sql("SELECT coalesce(max(number), 0) + 1 FROM erasures").scalar_one())
    row = (number, tenant, json.dumps({"number": number, **content}), json.dumps(pks))
    backend.insert(connection, "erasures", ("number", "tenant", "receipt", "pks"), [row])
    return number, found


def _finish(database: Database, number: int, elsewhere: Mapping[str, Elsewhere]) -> dict[str, Any]:
    ((tenant, text, pks),) = database.ask("SELECT tenant, receipt, pks FROM erasures WHERE number = ?", (number,))
    content: dict[str, Any] = json.loads(text)
    if pks is None:  # another process was quicker
        return content
    for place, erase_there in elsewhere.items():
        content["erased"][place] = erase_there(tenant, json.loads(pks))
        crash.point(f"erase: {place}")
    with database.read() as connection:
        tables = _tables(connection)
    database.scrub(tables)
    crash.point("erase: scrubbed")
    content["finished"] = _now()
    with database.write() as connection:
        sql = database.backend.sql("UPDATE erasures SET receipt = ?, pks = NULL WHERE number = ?")
        connection.exec_driver_sql(sql, (json.dumps(content), number))
    return content


def _open(database: Database) -> list[int]:
    return [number for (number,) in database.ask("SELECT number FROM erasures WHERE pks IS NOT NULL ORDER BY number")]


def _erased_before(database: Database, tenant: str, number: int) -> dict[str, int]:
    rows = database.ask("SELECT number, receipt FROM erasures WHERE tenant = ? AND number < ?", (tenant, number))
    return {digest: before for before, text in rows for digest in json.loads(text)["ids"]}


def _count(database: Database, connection: Connection, table: str, pks: list[int]) -> int:
    sql = database.backend.sql(f"SELECT count(*) FROM {table} WHERE pk {database.backend.among_pks}")
    return int(connection.exec_driver_sql(sql, (database.backend.array(pks),)).scalar_one())


def _tables(connection: Connection) -> list[str]:
    """Return the tables that hold items' content."""
    return ["items", "thumbnails", *(generation.table for generation in registered(connection))]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
