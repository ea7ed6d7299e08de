"""Opens the catalogue's database, with durability on and every foreign error turned into ours."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from sightline_cloud.catalog.schema import META, METADATA, SCHEMA_VERSION
from sightline_shared.errors import StoreCorrupt, StoreError, StoreUnavailable, VersionMismatch

BUSY_TIMEOUT_MS = 10_000
# synchronous=FULL: a commit is on the disk when it returns, so what was acknowledged survives a power cut too.
PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",
    f"busy_timeout={BUSY_TIMEOUT_MS}",
    "foreign_keys=ON",
    "trusted_schema=OFF",
    "cell_size_check=ON",
)


class Database:
    """An engine over one SQLite file; `read` and `write` are its only transactions."""

    def __init__(self, path: Path, pairing_id: bytes) -> None:
        with translated(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._engine = _engine(path)
        with self.write() as connection:
            METADATA.create_all(connection)
            _check_meta(connection, path, pairing_id)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One consistent snapshot; never blocks a writer."""
        with translated(self.path), self._engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction that is durable when the block ends, or undone when it raises."""
        with translated(self.path), self._engine.connect() as connection:
            connection = connection.execution_options(sightline_write=True)
            with connection.begin():
                yield connection

    def close(self) -> None:
        self._engine.dispose()


def _engine(path: Path) -> Engine:
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": BUSY_TIMEOUT_MS / 1000}, pool_size=16)

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _record: Any) -> None:
        # The driver's own transactions begin late and would break the snapshot; ours are explicit, below.
        connection.isolation_level = None
        for pragma in PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # IMMEDIATE takes the write lock at once: a transaction never fails half way because another one wrote.
        write = connection.get_execution_options().get("sightline_write")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine


def _check_meta(connection: Connection, path: Path, pairing_id: bytes) -> None:
    meta = {row.key: row.value for row in connection.execute(select(META))}
    if not meta:
        rows = {"schema": SCHEMA_VERSION, "pairing_id": pairing_id.hex()}
        connection.execute(META.insert(), [{"key": key, "value": value} for key, value in rows.items()])
        return
    if meta.get("schema") != SCHEMA_VERSION:
        raise StoreError(f"{path}: expected catalogue schema {SCHEMA_VERSION}, got {meta.get('schema')!r}.")
    if meta.get("pairing_id") != pairing_id.hex():
        raise VersionMismatch(
            f"{path}: this catalogue was made with a bundle of pairing id {meta.get('pairing_id')}, "
            f"the service's bundle is {pairing_id.hex()}.",
            hint="Start with the bundle that made it, or index the photographs into a new data folder.",
        )


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn SQLite's, SQLAlchemy's and the file system's errors into StoreError."""
    try:
        yield
    except DBAPIError as error:
        raise _store_error(path, str(error.orig)) from error
    except sqlite3.Error as error:
        raise _store_error(path, str(error)) from error
    except (PoolTimeout, SQLAlchemyError) as error:
        raise StoreUnavailable(f"{path}: the catalogue could not be asked ({type(error).__name__}).") from error
    except OSError as error:
        raise StoreUnavailable(f"{path}: expected a writable data folder, got '{error.strerror}'.") from error


def _store_error(path: Path, text: str) -> StoreError:
    damaged = ("malformed", "not a database", "corrupt", "no such table", "no such column")
    kind = StoreCorrupt if any(word in text for word in damaged) else StoreUnavailable
    return kind(f"{path}: expected a working catalogue, got '{text}'.")
