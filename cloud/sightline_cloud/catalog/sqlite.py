"""The catalogue in one SQLite file: the default, for one machine."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from sqlalchemy import Connection, Engine, create_engine, event

from sightline_cloud.catalog.backend import BUSY_TIMEOUT_MS, POOL_SIZE, Row, WouldWait
from sightline_shared.errors import StoreCorrupt, StoreError, StoreUnavailable

# synchronous=FULL: a commit is on the disk when it returns, so what was acknowledged survives a power cut too.
# secure_delete: what is deleted is overwritten with zeros, so that nothing of an erased item stays in a free page.
PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",
    f"busy_timeout={BUSY_TIMEOUT_MS}",
    "foreign_keys=ON",
    "secure_delete=ON",
    "trusted_schema=OFF",
    "cell_size_check=ON",
)
# What SQLite says of a file that is damaged, as opposed to locked, full or gone.
DAMAGED = ("malformed", "not a database", "corrupt", "no such table", "no such column", "Could not decode")
SMALLEST_BYTES = 512
OLDEST = (3, 35, 0)  # ALTER TABLE DROP COLUMN, for catalogues of schema 1


class SqliteBackend:
    """A SQLite file in WAL mode: readers never wait for the writer, nor it for them."""

    among_pks = among_texts = "IN (SELECT value FROM json_each(?))"
    # Of a damaged file, even SQLite's own message may not be text.
    driver_errors: tuple[type[Exception], ...] = (sqlite3.Error, UnicodeDecodeError)

    def __init__(self, path: Path) -> None:
        if sqlite3.sqlite_version_info < OLDEST:
            raise StoreError(f"expected SQLite 3.35 or newer, got {sqlite3.sqlite_version}.", hint="Upgrade Python.")
        self.path = path
        self.engine = _engine(path)
        self._quick = _QuickConnection(self.engine)

    @property
    def name(self) -> str:
        return str(self.path)

    def make_ready(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists() and 0 < (size := self.path.stat().st_size) < SMALLEST_BYTES:
            # SQLite takes such a stump for a new database, and writes over it.
            raise StoreCorrupt(f"{self.name}: expected a catalogue, got a file of {size} bytes.")

    def sql(self, text: str) -> str:
        return text

    def array(self, values: Sequence[Any]) -> Any:
        return json.dumps(list(values))

    def ask(self, text: str, values: Sequence[Any]) -> list[Row]:
        connection = self.engine.raw_connection()
        try:
            return connection.execute(text, tuple(values)).fetchall()  # type: ignore[no-any-return]
        finally:
            connection.close()

    def ask_now(self, text: str, values: Sequence[Any]) -> list[Row]:
        return self._quick.ask(text, values, wait=False)

    def version(self) -> int | None:
        ((number,),) = self._quick.ask("PRAGMA data_version", (), wait=True)
        return int(number)

    def begin(self, connection: Connection, *, write: bool) -> None:
        # IMMEDIATE takes the write lock at once: a transaction never fails half way because another one wrote.
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    def next_numbers(self, connection: Connection, table: str, count: int) -> list[int]:
        last = connection.exec_driver_sql("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).scalar() or 0
        return list(range(last + 1, last + 1 + count))

    def insert(self, connection: Connection, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        marks = ",".join("?" * len(columns))
        sql = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"  # noqa: S608  our own names and marks
        if rows:
            connection.exec_driver_sql(sql, list(rows))

    def scrub(self, tables: Sequence[str]) -> None:
        """Empty the write-ahead log, whose pages still hold what the file's, thanks to secure_delete, do not.

        Raises StoreUnavailable while a long read holds the log.
        """
        ((busy, _, _),) = self.ask("PRAGMA wal_checkpoint(TRUNCATE)", ())
        if busy:
            raise StoreUnavailable(
                f"{self.name}: expected to empty the write-ahead log, got readers or writers that still use it.",
                hint="Do it again when no index is being built and no backup runs; until then the log keeps old bytes.",
            )

    def check(self) -> list[str]:
        told = [str(row[0]) for row in self.ask("PRAGMA integrity_check(20)", ())]
        orphans = self.ask("PRAGMA foreign_key_check", ())
        return [line for line in told if line != "ok"] + [f"{row[0]}: row {row[1]} has no item" for row in orphans[:20]]

    def size_bytes(self) -> int:
        files = (self.path, self.path.with_name(self.path.name + "-wal"))
        return sum(file.stat().st_size for file in files if file.exists())

    def close(self) -> None:
        self._quick.close()
        self.engine.dispose()

    def failure(self, error: BaseException) -> StoreError:
        damaged = isinstance(error, UnicodeDecodeError) or any(word in str(error) for word in DAMAGED)
        kind = StoreCorrupt if damaged else StoreUnavailable
        return kind(f"{self.name}: expected a working catalogue, got '{error}'.")


class _QuickConnection:
    """One connection for statements of a few microseconds, which waits for no lock of the database.

    One statement at a time: two that overlap would share a snapshot, and the later one would not see what was committed
    in between.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine, self._turn = engine, threading.Lock()
        self._own: sqlite3.Connection | None = None

    def ask(self, text: str, values: Sequence[Any], *, wait: bool) -> list[Row]:
        """Return the statement's rows; `wait` for another thread's, else raise WouldWait, as for a lock of the database."""
        if not self._turn.acquire(blocking=wait):
            raise WouldWait
        try:
            return self._connection().execute(text, tuple(values)).fetchall()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise WouldWait from error
            raise
        finally:
            self._turn.release()

    def close(self) -> None:
        with self._turn:
            if self._own:
                self._own.close()
                self._own = None

    def _connection(self) -> sqlite3.Connection:
        if self._own is None:
            pooled = self._engine.raw_connection()
            pooled.detach()  # out of the pool: it is never given back
            self._own = cast(sqlite3.Connection, pooled.dbapi_connection)
            self._own.execute("PRAGMA busy_timeout=0")
        return self._own


def _engine(path: Path) -> Engine:
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": BUSY_TIMEOUT_MS / 1000}, pool_size=POOL_SIZE)

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _record: Any) -> None:
        # The driver's own transactions begin late and would break the snapshot; ours are explicit.
        connection.isolation_level = None
        for pragma in PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")

    return engine
