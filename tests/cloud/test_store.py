"""The catalogue's troubles have names, and the service outlives those that pass."""

import json
import sqlite3
import time
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import event
from support.tiny_bundle import DIM, jpeg, picture

from sightline_cloud.catalog import database
from sightline_cloud.catalog.database import Database
from sightline_cloud.catalog.store import NewItem, Store
from sightline_cloud.embedded import EmbeddedService
from sightline_cloud.engine import Engine
from sightline_cloud.index import tenants
from sightline_cloud.index.tenants import TenantIndexes
from sightline_cloud.settings import Settings
from sightline_shared.bundle import write_bundle
from sightline_shared.cli import main
from sightline_shared.errors import BundleCorrupt, ConfigInvalid, StoreCorrupt, StoreUnavailable


def items(count: int, prefix: str = "i", thumbnail: bytes = b"") -> list[NewItem]:
    vectors = np.random.default_rng(len(prefix)).normal(size=(count, DIM)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return [NewItem(f"{prefix}{n}", vector, bytes(64), thumbnail, (1, 1)) for n, vector in enumerate(vectors)]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(Database(tmp_path / "c.sqlite", b"pairing1"))


def test_commits_are_durable_and_foreign_keys_are_on(store) -> None:
    with store.database.read() as connection:
        pragma = {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous", "foreign_keys")}  # fmt: skip
    assert pragma == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def test_reading_matches_costs_the_same_whatever_the_size_of_the_catalogue(store) -> None:
    """A plan that goes through the tenant's items reads all of them for every query."""
    store.add("t", items(30))
    statements = []

    @event.listens_for(store.database._engine, "before_cursor_execute")
    def note(connection, cursor, statement, parameters, context, many) -> None:
        statements.append((statement, parameters))

    pks = list(range(1, 31))
    assert set(store.hydrate("t", pks)) == set(pks) and store.hydrate("other", pks) == {}
    store.vectors(pks, DIM)
    looked_up = [(text, values) for text, values in statements if text.startswith("SELECT pk")]
    assert len(looked_up) == 3
    with store.database.read() as connection:
        plans = [connection.exec_driver_sql("EXPLAIN QUERY PLAN " + text, values).all() for text, values in looked_up]
    assert all("USING INTEGER PRIMARY KEY" in plan[0][-1] for plan in plans), plans


def test_a_locked_catalogue_is_named_and_usable_again(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT_MS", 50)
    monkeypatch.setattr(database, "PRAGMAS", ("journal_mode=WAL", "busy_timeout=50"))
    store = Store(Database(tmp_path / "c.sqlite", b"pairing1"))
    other = sqlite3.connect(tmp_path / "c.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="locked"):
        store.add("t", items(1))
    assert store.counts() == {}, "reading goes on beside a writer"
    other.execute("ROLLBACK")
    other.close()
    store.add("t", items(1))
    assert store.counts() == {"t": 1}


def test_a_full_disk_is_named_and_nothing_is_half_written(store) -> None:
    store.add("t", items(1))
    pages = {"limit": 40}

    @event.listens_for(store.database._engine, "begin")
    def limit(connection) -> None:
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages['limit']}")

    with pytest.raises(StoreUnavailable, match="full"):
        store.add("t", items(50, "big", thumbnail=bytes(20_000)))
    assert store.counts() == {"t": 1} and store.position() == 1
    pages["limit"] = 100_000
    store.add("t", items(5, "late"))
    assert store.counts() == {"t": 6}


@pytest.mark.parametrize("blob", [b"", b"\x00" * 511, np.full(DIM, np.nan, "<f2").tobytes()])
def test_a_damaged_vector_is_named(store, blob: bytes) -> None:
    store.add("t", items(3))
    with store.database.write() as connection:
        connection.exec_driver_sql("UPDATE items SET vector = ? WHERE pk = 2", (blob,))
    for read in (lambda: store.vectors([1, 2, 3], DIM), lambda: store.load(DIM)):
        with pytest.raises(StoreCorrupt, match="expected vectors of"):
            read()


def test_what_follows_a_failure_half_way_is_added_once(store, tiny, monkeypatch) -> None:
    monkeypatch.setattr(tenants, "FETCH_CHUNK", 5)
    indexes, honest, calls = TenantIndexes(store, tiny.codec, Settings()), store.vectors, []

    def flaky(pks, dim):
        calls.append(pks)
        if len(calls) % 3 == 2:
            raise StoreUnavailable("the disk went away")
        return honest(pks, dim)

    monkeypatch.setattr(store, "vectors", flaky)
    for prefix, expected in (("a", 12), ("bb", 24)):  # into a new index, and into one that is there
        store.add("t", items(12, prefix))
        with pytest.raises(StoreUnavailable):
            indexes.catch_up()
        assert indexes.trouble
        while indexes.seq < store.position():
            try:
                indexes.catch_up()
            except StoreUnavailable:
                continue
        assert indexes.stats()["t"]["vectors"] == expected and indexes.trouble is None


def test_a_tenant_emptied_while_its_index_is_rebuilt_is_left_empty(store, tiny, monkeypatch) -> None:
    indexes, honest = TenantIndexes(store, tiny.codec, Settings(ivf_min_vectors=1000)), store.load
    store.add("t", items(1000))

    def emptied(dim, tenant=None):
        store.remove("t", [f"i{n}" for n in range(1000)])
        return honest(dim, tenant)

    monkeypatch.setattr(store, "load", emptied)
    indexes.catch_up()
    indexes.catch_up()
    assert indexes.stats()["t"]["vectors"] == 0
    _, pks = indexes.search("t", np.ones((1, DIM), np.float32), 3)
    assert pks.tolist() == [[-1, -1, -1]]


def test_the_service_keeps_following_after_any_error_and_says_so_meanwhile(service, tiny, monkeypatch) -> None:
    honest = service.engine.store.changes_since
    monkeypatch.setattr(service.engine.store, "changes_since", lambda seq: 1 / 0)
    other = Engine(Settings(data_dir=service.engine.settings.data_dir), tiny)
    other.ingest.add_one("default", "from-elsewhere", jpeg(picture(88)), {})
    time.sleep(0.8)
    with service.http() as http, service.client() as client:
        broken = http.get("/readyz")
        assert broken.status_code == 503 and broken.json()["code"] == "E_SERVICE_NOT_READY"
        monkeypatch.setattr(service.engine.store, "changes_since", honest)
        time.sleep(0.8)
        assert http.get("/readyz").status_code == 200
        assert client.search(picture(88)).matches[0].id == "from-elsewhere"
    other.close()


def test_a_bundle_without_thresholds_is_refused_at_start(tiny, tmp_path: Path) -> None:
    for number, decision in enumerate(({}, {"found_min_score": 0.2, "not_found_max_score": 0.4})):
        fields = {**json.loads(tiny.manifest.to_bytes()), "decision": decision}
        manifest = type(tiny.manifest).from_bytes(json.dumps(fields).encode())
        bundle = write_bundle(tmp_path / f"bundle{number}", manifest, tiny.files)
        with pytest.raises(BundleCorrupt, match="decision thresholds"):
            EmbeddedService(Settings(data_dir=tmp_path / "data", port=0), bundle)


def test_a_mistyped_folder_is_not_an_empty_catalogue(tmp_path: Path, tiny_folder: Path, capsys) -> None:
    where = ["--data", str(tmp_path / "typo"), "--bundle", str(tiny_folder), "--json"]
    for words in (["index", "stats"], ["index", "remove", "x"], ["key", "list"], ["key", "revoke", "x"]):
        assert main([*words, *where]) == 1
        assert json.loads(capsys.readouterr().out)["error"]["code"] == "E_STORE_UNAVAILABLE"
    assert not (tmp_path / "typo").exists()


def test_a_tenant_that_no_key_can_name_is_refused(tmp_path: Path, tiny_folder: Path, capsys) -> None:
    picture(1).save(tmp_path / "a.png")
    words = ["index", "add", str(tmp_path), "--tenant", "two words", "--data", str(tmp_path / "d")]
    assert main([*words, "--bundle", str(tiny_folder), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "E_CONFIG_INVALID"


@pytest.mark.parametrize(
    "wrong",
    [{"port": 70_000}, {"search_threads": 0}, {"max_item_bytes": 1}, {"max_deadline_ms": 0}, {"poll_seconds": float("nan")}, {"network_ms": -1}],
)  # fmt: skip
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    (name,) = wrong
    with pytest.raises(ConfigInvalid, match=f"{name}: expected"):
        Settings(**wrong)
