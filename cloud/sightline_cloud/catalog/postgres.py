"""The catalogue in a PostgreSQL database: for a service that outgrows one machine."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event

from sightline_cloud.catalog.backend import BUSY_TIMEOUT_MS, POOL_SIZE, Row, WouldWait
from sightline_cloud.catalog.schema import METADATA
from sightline_shared.errors import ExtraMissing, StoreCorrupt, StoreError, StoreUnavailable

try:
    import psycopg
except ModuleNotFoundError as error:
    raise ExtraMissing(
        "a catalogue in PostgreSQL needs the package 'psycopg', which is not installed.",
        hint="Run: pip install 'sightline[postgres]'",
    ) from error

CONNECT_SECONDS = 10
# COPY takes a round trip more than an insert and is many times faster for many rows.
COPY_FROM = 50
# A writing transaction locks this number and its schema: one catalogue, one writer.
LOCK = 0x5167
# data_corrupted, index_corrupted, undefined_table, undefined_column.
DAMAGED = ("XX001", "XX002", "42P01", "42703")

# A waiting writer gives up in time. A server set up to acknowledge before the disk has it is told to wait for this one.
SESSION = f"""
SELECT set_config('lock_timeout', '{BUSY_TIMEOUT_MS}', false),
  CASE current_setting('synchronous_commit') WHEN 'off' THEN set_config('synchronous_commit', 'on', false) END
"""


class PostgresBackend:
    """A PostgreSQL database, or one schema of it: `postgresql://user@host/name?options=-csearch_path%3Dsightline`."""

    among_pks = "= ANY(?::bigint[])"
    among_texts = "= ANY(?::text[])"
    driver_errors: tuple[type[Exception], ...] = (psycopg.Error,)

    def __init__(self, url: URL) -> None:
        self._url = url
        self.engine = _engine(url)

    @property
    def name(self) -> str:
        return self._url.render_as_string(hide_password=True)

    def make_ready(self) -> None:
        pass  # the server's

    def sql(self, text: str) -> str:
        return _marked(text)

    def array(self, values: Sequence[Any]) -> Any:
        return list(values)

    def ask(self, text: str, values: Sequence[Any]) -> list[Row]:
        """Ask once more when a connection turns out to be dead: a restarted server leaves such in the pool."""
        for last_try in (False, True):
            connection = self.engine.raw_connection()
            driver: psycopg.Connection[Row] = connection.driver_connection  # type: ignore[assignment]
            try:
                return driver.execute(_marked(text), tuple(values), binary=True).fetchall()
            except psycopg.OperationalError:
                if last_try or not driver.closed:
                    raise
                connection.invalidate()
                self.engine.dispose()  # the pool's other connections are as old
            finally:
                connection.close()
        raise AssertionError("unreachable")

    def ask_now(self, text: str, values: Sequence[Any]) -> list[Row]:
        raise WouldWait  # for the network

    def version(self) -> int | None:
        return None

    def begin(self, connection: Connection, *, write: bool) -> None:
        if write:
            connection.exec_driver_sql("BEGIN")
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK}, hashtext(current_schema()))")
        else:
            connection.exec_driver_sql("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")

    def next_numbers(self, connection: Connection, table: str, count: int) -> list[int]:
        (key,) = METADATA.tables[table].primary_key.columns
        sql = "SELECT nextval(pg_get_serial_sequence(%s, %s)) FROM generate_series(1, %s)"
        return sorted(number for (number,) in connection.exec_driver_sql(sql, (table, key.name, count)))

    def insert(self, connection: Connection, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        names = ", ".join(columns)
        if len(rows) < COPY_FROM:
            marks = ",".join(["%s"] * len(columns))
            sql = f"INSERT INTO {table} ({names}) VALUES ({marks})"  # noqa: S608  our own names and marks
            if rows:
                connection.exec_driver_sql(sql, list(rows))
            return
        with connection.connection.cursor() as cursor, cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy:  # type: ignore[attr-defined]
            for row in rows:
                copy.write_row(row)

    def scrub(self, tables: Sequence[str]) -> None:
        """VACUUM `tables`: the dead rows' space is given back to them.

        What this does not promise: PostgreSQL does not overwrite freed space before it is used again, its write-ahead
        log and archives keep old pages until they are recycled, and backups and replicas have lives of their own.
        """
        connection = self.engine.raw_connection()
        try:
            connection.driver_connection.execute("VACUUM " + ", ".join(tables))  # type: ignore[union-attr]
        finally:
            connection.close()

    def check(self) -> list[str]:
        return []  # page checksums are the server's; every read verifies them

    def size_bytes(self) -> int:
        sql = "SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_class WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace"
        return int(self.ask(sql, ())[0][0])

    def close(self) -> None:
        self.engine.dispose()

    def failure(self, error: BaseException) -> StoreError:
        damaged = getattr(error, "sqlstate", None) in DAMAGED
        text = str(error).partition("\n")[0]
        if damaged:
            return StoreCorrupt(f"{self.name}: expected a working catalogue, got '{text}'.")
        hint = "Check that the database answers at this URL, and that its disk is not full."
        return StoreUnavailable(f"{self.name}: expected a working catalogue, got '{text}'.", hint=hint)


@lru_cache(maxsize=256)
def _marked(text: str) -> str:
    return text.replace("?", "%s")


def _engine(url: URL) -> Engine:
    connect = {"connect_timeout": CONNECT_SECONDS, "application_name": "sightline"}
    engine = create_engine(url.set(drivername="postgresql+psycopg"), connect_args=connect, pool_size=POOL_SIZE)

    @event.listens_for(engine, "connect")
    def prepare(connection: psycopg.Connection[Row], _record: Any) -> None:
        # Transactions are begun explicitly, as with SQLite, and a single statement needs none.
        connection.autocommit = True
        connection.execute(SESSION)

    return engine
