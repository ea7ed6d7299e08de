"""Brings a catalogue of an older schema up to date, in one transaction: it is the old one or the new one, never between."""

from __future__ import annotations

import secrets

from sqlalchemy import Connection, select
from sqlalchemy.schema import CreateColumn

from sightline_cloud import crash
from sightline_cloud.catalog.backend import Backend
from sightline_cloud.catalog.generations import Generation, register, registered
from sightline_cloud.catalog.records import ITEM_FIELDS, blob_crc, field_crc
from sightline_cloud.catalog.schema import BLOCKED, ERASURES, GENERATIONS, ITEMS, KEYS, META, SCHEMA_VERSION
from sightline_cloud.catalog.slots import slot_of

VACUUM_DUE = "vacuum_due"


KEY_COLUMNS_OF_3 = ("expires", "previous", "previous_until", "used", "limits")


def migrate(connection: Connection, schema: str) -> None:
    """Bring a catalogue of `schema` "1" or "2" up to SCHEMA_VERSION."""
    if schema == "1":
        _from_1_to_2(connection)
    _from_2_to_3(connection)
    connection.execute(META.update().where(META.c.key == "schema").values(value=str(SCHEMA_VERSION)))


def _from_2_to_3(connection: Connection) -> None:
    """Give keys what rotation, expiry and limits need, and make the table of blocked pictures."""
    for name in KEY_COLUMNS_OF_3:
        column = CreateColumn(KEYS.c[name]).compile(dialect=connection.dialect)
        connection.exec_driver_sql(f"ALTER TABLE keys ADD COLUMN {column}")
    next(index for index in KEYS.indexes if index.name == "keys_by_previous").create(connection)
    crash.point("migrate: keys")
    BLOCKED.create(connection)
    crash.point("migrate: blocked")


def _from_1_to_2(connection: Connection) -> None:
    """Turn schema 1 into 2; only SQLite catalogues have ever had schema 1.

    1 held one bundle's vectors in the items' own rows. 2 has a table of vectors for each generation, slots, checksums,
    and receipts of erasures. The numbers of items and changes go on where they were.
    """
    run = connection.exec_driver_sql
    GENERATIONS.create(connection)
    ERASURES.create(connection)
    crash.point("migrate: tables")
    driver = connection.connection.driver_connection
    for function in (slot_of, field_crc, blob_crc):
        driver.create_function(function.__name__, -1, function, deterministic=True)  # type: ignore[union-attr]
    run("ALTER TABLE items ADD COLUMN slot INTEGER NOT NULL DEFAULT 0")
    run("ALTER TABLE items ADD COLUMN crc BIGINT NOT NULL DEFAULT 0")
    run(f"UPDATE items SET slot = slot_of(tenant, id), crc = field_crc(pk, {', '.join(ITEM_FIELDS)})")  # noqa: S608  our own names
    crash.point("migrate: items")
    run("ALTER TABLE thumbnails ADD COLUMN crc BIGINT NOT NULL DEFAULT 0")
    run("UPDATE thumbnails SET crc = blob_crc(pk, jpeg)")
    _move_vectors(connection)
    crash.point("migrate: vectors")
    for index in ITEMS.indexes:
        index.create(connection)
    # The log begins anew after what it held: no index on the disk is older than schema 2.
    last = run("SELECT coalesce(max(seq), 0) FROM changes").scalar_one()
    run("DELETE FROM changes")
    run("ALTER TABLE changes ADD COLUMN slot INTEGER NOT NULL DEFAULT 0")
    run("ALTER TABLE changes ADD COLUMN generation INTEGER")
    run("ALTER TABLE changes ADD COLUMN crc BIGINT NOT NULL DEFAULT 0")
    crash.point("migrate: changes")
    rows = {"catalogue_id": secrets.token_hex(16), "pruned": str(last), VACUUM_DUE: "yes"}
    connection.execute(META.insert(), [{"key": key, "value": value} for key, value in rows.items()])
    run("DELETE FROM meta WHERE key = 'pairing_id'")


def finish_migration(backend: Backend) -> None:
    """Write the file anew: what schema 1 deleted without overwriting it, an erasure could not find any more.

    Outside a transaction, as VACUUM wants it; until it is done, the next opening does it again.
    """
    backend.ask("VACUUM", ())
    crash.point("migrate: vacuumed")
    backend.scrub(())
    backend.ask("DELETE FROM meta WHERE key = ?", (VACUUM_DUE,))


def _move_vectors(connection: Connection) -> None:
    run = connection.exec_driver_sql
    pairing_id = connection.execute(select(META.c.value).where(META.c.key == "pairing_id")).scalar_one()
    sizes = run("SELECT length(vector) / 2, length(code) FROM items LIMIT 1").first()
    if sizes is not None:  # an empty catalogue is nobody's
        register(connection, [Generation(pairing_id, "of schema 1", *sizes)])
        table = registered(connection)[-1].table
        columns = "pk, vector, code, blob_crc(pk, vector, code)"
        run(f"INSERT INTO {table} (pk, vector, code, crc) SELECT {columns} FROM items ORDER BY pk")  # noqa: S608  our own names
    run("ALTER TABLE items DROP COLUMN vector")
    run("ALTER TABLE items DROP COLUMN code")
