"""Opens the catalogue's database: makes it, brings it up to date, and gives its only kinds of access."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy import inspect as schema_of
from sqlalchemy.exc import DBAPIError

from sightline_cloud import crash
from sightline_cloud.catalog.backend import Row, WouldWait, translated
from sightline_cloud.catalog.generations import Generation, Registered, register, registered
from sightline_cloud.catalog.migrate import VACUUM_DUE, finish_migration, migrate
from sightline_cloud.catalog.schema import META, METADATA, SCHEMA_VERSION
from sightline_cloud.catalog.url import backend_of
from sightline_shared.errors import StoreError, VersionMismatch


class Database:
    """One catalogue: `ask` for a single statement, `read` for several over one snapshot, `write` to change it."""

    def __init__(self, where: Path | str, generations: Sequence[Generation] = ()) -> None:
        """Open or make the catalogue at a path (SQLite) or a postgresql:// URL, for `generations`, the primary first.

        Other generations in it are left alone; one that is new to it is registered. Raises StoreError, VersionMismatch,
        ConfigInvalid, ExtraMissing.
        """
        self.backend = backend_of(where)
        self.name = self.backend.name
        try:
            self.generations, self.catalogue_id = self._open(generations)
        except BaseException:
            self.close()
            raise

    def _open(self, generations: Sequence[Generation]) -> tuple[dict[str, Registered], str]:
        with translated(self.backend):
            self.backend.make_ready()
        if not self._is_ready(generations):
            with self.write() as connection:
                _prepare(connection, self.name, generations)
                vacuum = VACUUM_DUE in _meta(connection)
            if vacuum:
                finish_migration(self.backend)
        with self.read() as connection:
            known = {generation.pairing_id: generation for generation in registered(connection)}
            # A random name: index files that were built from another catalogue never match it.
            name = _meta(connection)["catalogue_id"]
        return {wanted.pairing_id: known[wanted.pairing_id] for wanted in generations}, name

    def generation(self, pairing_id: str | None = None) -> Registered:
        """Return one of the generations that this was opened with, by default the first; raises VersionMismatch."""
        wanted = next(iter(self.generations), None) if pairing_id is None else pairing_id
        if wanted not in self.generations:
            live = ", ".join(self.generations) or "none"
            raise VersionMismatch(f"{self.name}: expected a live generation ({live}), got {wanted}.")
        return self.generations[wanted]

    def ask(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        """Run one reading statement, with `?` for its values; the fastest way, for what every query needs."""
        with translated(self.backend):
            return self.backend.ask(sql, values)

    def ask_now(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        """As `ask`, for the event loop: raises WouldWait where it would have to wait."""
        with translated(self.backend):
            return self.backend.ask_now(sql, values)

    def version(self) -> int | None:
        """Return a number that is another one after every commit of any process, None where nobody can tell cheaply."""
        try:
            with translated(self.backend):
                return self.backend.version()
        except WouldWait:
            return None

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One consistent snapshot; never blocks a writer."""
        with translated(self.backend), self._begun(write=False) as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction that is durable when the block ends, or undone when it raises. One writer at a time."""
        with translated(self.backend):
            with self._begun(write=True) as connection:
                yield connection
                crash.point("before the commit")
            crash.point("after the commit")

    def scrub(self, tables: Sequence[str]) -> None:
        """Make what was deleted from `tables` unreadable in the database's files; see the backends for the limits."""
        with translated(self.backend):
            self.backend.scrub(tables)

    def check(self) -> list[str]:
        """Return what the database itself finds wrong with its files."""
        with translated(self.backend):
            return self.backend.check()

    def size_bytes(self) -> int:
        """Return the bytes that the catalogue takes on the disk."""
        with translated(self.backend):
            return self.backend.size_bytes()

    def close(self) -> None:
        self.backend.close()

    @contextmanager
    def _begun(self, *, write: bool) -> Iterator[Connection]:
        connection = self.backend.engine.connect()
        try:
            try:
                self.backend.begin(connection, write=write)
            except DBAPIError as error:
                if not error.connection_invalidated:
                    raise
                # A restarted server leaves dead connections behind; nothing was done yet, so once more on a new one.
                connection.close()
                connection = self.backend.engine.connect()
                self.backend.begin(connection, write=write)
            yield connection
            connection.commit()
        finally:
            connection.close()  # undoes what was not committed

    def _is_ready(self, generations: Sequence[Generation]) -> bool:
        """Return whether there is nothing to write, so that opening need not wait for another writer."""
        with self.read() as connection:
            meta = _meta(connection) if schema_of(connection).has_table(META.name) else {}
            if meta.get("schema") != str(SCHEMA_VERSION) or VACUUM_DUE in meta:
                return False
            known = {(g.pairing_id, g.label, g.dim, g.code_size) for g in registered(connection)}
            return {(g.pairing_id, g.label, g.dim, g.code_size) for g in generations} <= known


def _prepare(connection: Connection, name: str, generations: Sequence[Generation]) -> None:
    tables = set(schema_of(connection).get_table_names())
    if META.name not in tables:
        if taken := sorted(tables & set(METADATA.tables)):
            raise StoreError(
                f"{name}: expected a catalogue or no tables of its names, got {', '.join(taken)} of something else.",
                hint="Use a database or a schema of its own: postgresql://.../name?options=-csearch_path%3Dsightline",
            )
        METADATA.create_all(connection, checkfirst=False)
        rows = {"schema": str(SCHEMA_VERSION), "catalogue_id": secrets.token_hex(16), "pruned": "0"}
        connection.execute(META.insert(), [{"key": key, "value": value} for key, value in rows.items()])
    found = _meta(connection).get("schema")
    if found in ("1", "2"):
        migrate(connection, found)
    elif found != str(SCHEMA_VERSION):
        raise StoreError(
            f"{name}: expected catalogue schema {SCHEMA_VERSION}, got {found!r}.",
            hint="Upgrade the sightline package." if (found or "").isdecimal() else "Give the data folder's catalogue.",
        )
    register(connection, generations)


def _meta(connection: Connection) -> dict[str, str]:
    return {row.key: row.value for row in connection.execute(select(META))}
