"""The change log: every change in the order in which it was acknowledged, for indexes to follow."""

# ruff: noqa: S608  the names in the statements are our own, values travel beside them

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection

from sightline_cloud.catalog.backend import Backend
from sightline_cloud.catalog.database import Database
from sightline_cloud.catalog.feed import Change, Op
from sightline_cloud.catalog.records import field_crc
from sightline_shared.errors import ChangesPruned, StoreCorrupt

COLUMNS = ("seq", "tenant", "pk", "slot", "op", "generation", "crc")
# When the log is empty, what was pruned from it says how far it had come.
POSITION = (
    "SELECT coalesce((SELECT max(seq) FROM changes), "
    "(SELECT CAST(value AS BIGINT) FROM meta WHERE key = 'pruned'))"
)  # fmt: skip


def append(
    backend: Backend,
    connection: Connection,
    tenant: str,
    op: Op,
    rows: Iterable[tuple[int, int]],
    generation: int | None = None,
) -> None:
    """Log `op` for (pk, slot) `rows`, in one generation (its number) or in all; call in a writing transaction."""
    found = list(rows)
    numbers = backend.next_numbers(connection, "changes", len(found))
    fields = [(seq, tenant, pk, slot, op, generation) for seq, (pk, slot) in zip(numbers, found, strict=True)]
    backend.insert(connection, "changes", COLUMNS, [(*own, field_crc(*own)) for own in fields])


def position(database: Database) -> int:
    """Return the number of the last acknowledged change."""
    return int(database.ask(POSITION)[0][0])


def changes_since(database: Database, seq: int, generation: int, slots: str = "", limit: int = 10_000) -> list[Change]:
    """Return the next changes after `seq` that concern generation number `generation`.

    `slots` is SQL that narrows them to some slots. Raises ChangesPruned.
    """
    # One statement reads the log and how much of it is gone: between two, pruning could take what was not read yet.
    # The join gives at least one row, of NULLs, so that the second is always told.
    sql = (
        "SELECT gone.value, own.crc, own.slot, own.generation, own.seq, own.tenant, own.pk, own.op "
        "FROM meta gone LEFT JOIN (SELECT * FROM changes WHERE seq > ? AND (generation IS NULL OR generation = ?)"
        f"{slots} ORDER BY seq LIMIT ?) own ON 1 = 1 WHERE gone.key = 'pruned' ORDER BY own.seq"
    )
    rows = database.ask(sql, (seq, generation, limit))
    pruned = int(rows[0][0])
    if seq < pruned:
        raise ChangesPruned(f"{database.name}: expected changes after {seq}, got a log that begins after {pruned}.")
    changes = []
    for _, crc, slot, generation_number, *fields in rows:
        change = Change(*fields)
        if change.seq is None:  # nothing new
            break
        if field_crc(change.seq, change.tenant, change.pk, slot, change.op, generation_number) != crc:
            raise StoreCorrupt(
                f"{database.name}: expected change {change.seq} as it was logged, got a row whose checksum differs.",
                hint="Restore the catalogue from a backup, or build the indexes anew: a snapshot needs no log.",
            )
        changes.append(change)
    return changes


def prune(database: Database, keep_after_seq: int) -> int:
    """Forget the changes up to `keep_after_seq`; returns how many. An index that stands before it must be built anew."""
    with database.write() as connection:
        until = min(keep_after_seq, int(connection.exec_driver_sql(POSITION).scalar_one()))
        count = connection.exec_driver_sql(
            database.backend.sql("DELETE FROM changes WHERE seq <= ?"), (until,)
        ).rowcount
        if count:
            sql = database.backend.sql("UPDATE meta SET value = ? WHERE key = 'pruned'")
            connection.exec_driver_sql(sql, (str(until),))
        return int(count)
