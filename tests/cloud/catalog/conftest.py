"""A real PostgreSQL beside SQLite: what holds for one must hold for the other."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.catalogue import GENERATION
from support.postgres import PostgresServer, new_schema, postgres_server

from sightline_cloud.catalog.database import Database
from sightline_cloud.catalog.generations import Generation
from sightline_cloud.catalog.store import Store


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> str:
    """The URL of a new, empty schema."""
    return new_schema(postgres)


@pytest.fixture(params=["sqlite", "postgres"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """Where a new catalogue may be made."""
    return tmp_path / "c.sqlite" if request.param == "sqlite" else str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def opened(where: Path | str) -> Iterator[Callable[..., Store]]:
    """Opens the test's catalogue, also several times; by default with one generation."""
    begun: list[Database] = []

    def begin(*generations: Generation) -> Store:
        begun.append(Database(where, generations or [GENERATION]))
        return Store(begun[-1])

    yield begin
    for database in begun:
        database.close()


@pytest.fixture
def store(opened: Callable[..., Store]) -> Store:
    return opened()
