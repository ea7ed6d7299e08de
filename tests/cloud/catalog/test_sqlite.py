"""What is SQLite's own: durability, plans, locks, a full disk."""

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import event
from support.catalogue import GENERATION, new_item

from sightline_cloud.catalog import sqlite
from sightline_cloud.catalog.database import Database
from sightline_cloud.catalog.store import Store
from sightline_shared.errors import StoreError, StoreUnavailable


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(Database(tmp_path / "c.sqlite", [GENERATION]))


@pytest.mark.parametrize("kind", ["single statements", "transactions"])
def test_commits_are_durable_deletes_overwrite_and_foreign_keys_are_on(store, kind: str) -> None:
    names = ("journal_mode", "synchronous", "foreign_keys", "secure_delete")
    if kind == "single statements":
        pragma = [store.database.ask(f"PRAGMA {name}")[0][0] for name in names]
    else:
        with store.database.write() as connection:
            pragma = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names]
    assert pragma == ["wal", 2, 1, 1]


def test_reading_matches_costs_the_same_whatever_the_size_of_the_catalogue(store, monkeypatch) -> None:
    """A plan that goes through the tenant's items reads all of them for every query."""
    store.add("t", [new_item(f"i{n}") for n in range(30)])
    asked, honest = [], store.database.backend.ask

    def note(text, values):
        asked.append((text, values))
        return honest(text, values)

    monkeypatch.setattr(store.database.backend, "ask", note)
    pks = list(range(1, 31))
    assert set(store.hydrate("t", pks)) == set(pks) and store.hydrate("other", pks) == {}
    assert len(store.feed().rows(pks)) == 30
    assert len(asked) == 3, "one statement each"
    monkeypatch.undo()
    for text, values in asked:
        plan = [row[-1] for row in store.database.ask("EXPLAIN QUERY PLAN " + text, values)]
        assert plan[0] == "SEARCH items USING INTEGER PRIMARY KEY (rowid=?)", plan
        assert sum(step.startswith("SEARCH own USING INTEGER PRIMARY KEY") for step in plan) == 1, plan
        assert not any(step.startswith("SCAN") and "json_each" not in step for step in plan), plan


def test_counting_reads_no_vectors(store) -> None:
    store.add("t", [new_item(f"i{n}") for n in range(30)])
    counts = "SELECT count(*) FROM vectors_1", f"SELECT tenant, count(*) {store.feed()._tables} GROUP BY tenant"
    for text in counts:
        plan = [row[-1] for row in store.database.ask("EXPLAIN QUERY PLAN " + text)]
        assert all("USING COVERING INDEX" in step for step in plan), plan


def test_a_locked_catalogue_is_named_and_usable_again(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_MS", 50)
    monkeypatch.setattr(sqlite, "PRAGMAS", (*sqlite.PRAGMAS, "busy_timeout=50"))
    store = Store(Database(tmp_path / "c.sqlite", [GENERATION]))
    other = sqlite3.connect(tmp_path / "c.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="locked"):
        store.add("t", [new_item("a")])
    assert store.counts() == {}, "reading goes on beside a writer"
    assert Store(Database(tmp_path / "c.sqlite", [GENERATION])).position() == 0, "and so does opening"
    other.execute("ROLLBACK")
    other.close()
    store.add("t", [new_item("a")])
    assert store.counts() == {"t": 1}


def test_a_full_disk_is_named_and_nothing_is_half_written(store) -> None:
    store.add("t", [new_item("a")])
    pages = {"limit": 60}

    @event.listens_for(store.database.backend.engine, "checkout")
    def limit(connection, _record, _proxy) -> None:
        connection.execute(f"PRAGMA max_page_count={pages['limit']}")

    with pytest.raises(StoreUnavailable, match="full"):
        store.add("t", [new_item(f"big{n}", thumbnail=bytes(20_000)) for n in range(50)])
    assert store.counts() == {"t": 1} and store.position() == 1
    pages["limit"] = 100_000
    store.add("t", [new_item(f"late{n}") for n in range(5)])
    assert store.counts() == {"t": 6}


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StoreUnavailable, match="expected a writable data folder"):
        Database(tmp_path / "file" / "c.sqlite", [GENERATION])


def test_an_old_sqlite_is_refused(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 9))
    with pytest.raises(StoreError, match=r"expected SQLite 3\.35"):
        Database(tmp_path / "c.sqlite", [GENERATION])
