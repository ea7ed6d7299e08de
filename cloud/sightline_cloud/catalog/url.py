"""Where the catalogue is: a path is a SQLite file, a postgresql:// URL a PostgreSQL database."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from sightline_cloud.catalog.backend import Backend
from sightline_cloud.catalog.sqlite import SqliteBackend
from sightline_shared.errors import ConfigInvalid


def backend_of(where: Path | str) -> Backend:
    """Return the backend for a path or a URL; raises ConfigInvalid, or ExtraMissing without its driver.

    Nothing is opened yet.
    """
    if isinstance(where, Path):
        return SqliteBackend(where)
    try:
        url = make_url(where)
    except (ArgumentError, ValueError) as error:
        # Without the text: it may hold a password.
        raise ConfigInvalid("database_url: expected postgresql://user:password@host:port/name, got no URL.") from error
    if url.drivername not in ("postgresql", "postgres"):
        raise ConfigInvalid(f"database_url: expected a postgresql:// URL, got one of '{url.drivername}'.")
    from sightline_cloud.catalog.postgres import PostgresBackend

    return PostgresBackend(url)
