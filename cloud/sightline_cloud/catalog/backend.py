"""The seam between the catalogue and the database under it: SQLite or PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from sightline_shared.errors import StoreError, StoreUnavailable

# How long a writer waits for another one before the catalogue counts as unavailable.
BUSY_TIMEOUT_MS = 10_000
POOL_SIZE = 16

Row = tuple[Any, ...]


class WouldWait(Exception):
    """A statement could not be run at once. Never seen outside the service: whoever catches it asks again in a thread."""


class Backend(Protocol):
    """One database. SQL is written once, with `?` for values and `among_*` for lists of them."""

    engine: Engine
    # What a list of pks or of texts is compared with: `pk {among_pks}`, whose value is `array(pks)`.
    among_pks: str
    among_texts: str

    @property
    def name(self) -> str:
        """Where the database is, for messages; holds no password."""
        ...

    def make_ready(self) -> None:
        """Do what comes before the first connection: make the folder of the files, if there are any."""
        ...

    def sql(self, text: str) -> str:
        """Return `text` with its `?` as this driver wants them."""
        ...

    def array(self, values: Sequence[Any]) -> Any:
        """Return `values` as one value of a statement."""
        ...

    def ask(self, text: str, values: Sequence[Any]) -> list[Row]:
        """Run one reading statement, in one round trip and outside any transaction: it is its own snapshot."""
        ...

    def ask_now(self, text: str, values: Sequence[Any]) -> list[Row]:
        """As `ask`, for the event loop: raises WouldWait rather than wait for a lock, another thread or a network."""
        ...

    def version(self) -> int | None:
        """Return a number that is another one after every commit, of whichever process; None where that would take as
        long as asking."""
        ...

    def begin(self, connection: Connection, *, write: bool) -> None:
        """Begin a consistent snapshot, or a transaction that holds the catalogue's one write lock.

        One writer at a time: the change log's numbers are given and become visible in the same order.
        """
        ...

    def next_numbers(self, connection: Connection, table: str, count: int) -> list[int]:
        """Return `count` keys, ascending, that no row of `table` had or will have; call in a writing transaction."""
        ...

    def insert(self, connection: Connection, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        """Insert many rows, in order, the fastest way that this database has."""
        ...

    def scrub(self, tables: Sequence[str]) -> None:
        """Make what was deleted from `tables` unreadable in the database's files, as far as this database can."""
        ...

    def check(self) -> list[str]:
        """Return what the database itself finds wrong with its files."""
        ...

    def size_bytes(self) -> int:
        """Return the bytes that the catalogue takes on the disk."""
        ...

    def close(self) -> None:
        """Close every connection."""
        ...

    @property
    def driver_errors(self) -> tuple[type[Exception], ...]:
        """What the driver raises."""
        ...

    def failure(self, error: BaseException) -> StoreError:
        """Return ours for an error of the driver's."""
        ...


@contextmanager
def translated(backend: Backend) -> Iterator[None]:
    """Turn the driver's, SQLAlchemy's and the file system's errors into StoreError."""
    try:
        yield
    except DBAPIError as error:
        raise backend.failure(error.orig or error) from error
    except backend.driver_errors as error:
        raise backend.failure(error) from error
    except (PoolTimeout, SQLAlchemyError) as error:
        raise StoreUnavailable(f"{backend.name}: the catalogue could not be asked ({type(error).__name__}).") from error
    except OSError as error:
        raise StoreUnavailable(f"{backend.name}: expected a writable data folder, got '{error.strerror}'.") from error
