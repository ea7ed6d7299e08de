"""A catalogue made by an older package opens, whole; one made by a newer one is refused.

golden/catalogue-1.sqlite was made by the code of commit 76d2e77, the last with schema 1: 20 items of 'default' (16
numbers, 4 bytes a code), number 7 added again, 3 and 4 removed, 40 added and removed; 5 items of 'shop-2'; one key.

golden/catalogue-2.sqlite was made by the code of commit 2d89b6c, which had schema 2: 20 items of 'default' in two
generations (16 and 8 numbers, 4 and 2 bytes a code), 3 removed, 4 erased, the price of 5 changed; 5 items of 'shop-2';
three keys, one of them revoked.
"""

import hashlib
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from support.catalogue import new_item

from sightline_cloud.catalog.database import Database
from sightline_cloud.catalog.generations import Generation
from sightline_cloud.catalog.slots import slot_of
from sightline_cloud.catalog.store import Store
from sightline_cloud.ingest.blocked import BlockedImages
from sightline_cloud.tenancy.auth import Caller, Keys
from sightline_shared.errors import ChangesPruned, KeyUnknown, StoreError, VersionMismatch

GOLDEN = Path(__file__).parents[2] / "golden" / "catalogue-1.sqlite"
GOLDEN_2 = GOLDEN.with_name("catalogue-2.sqlite")
BOTH = [Generation(b"pairing1".hex(), "golden 1", 16, 4), Generation(b"pairing2".hex(), "golden 2", 8, 2)]
MADE_BY = Generation(b"pairing1".hex(), "golden 1", 16, 4)
LAST_PK, LAST_SEQ = 27, 31


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return Path(shutil.copy(GOLDEN, tmp_path / "c.sqlite"))


def vector(number: int) -> np.ndarray:
    drawn = np.random.default_rng(number).normal(size=16).astype(np.float32)
    return (drawn / np.linalg.norm(drawn)).astype(np.float16)


def test_everything_is_still_there(path: Path) -> None:
    store = Store(Database(path, [MADE_BY]))
    assert store.counts() == {"default": 18, "shop-2": 5}
    assert store.get("default", "item/5")["metadata"] == {"title": "Item 5 é", "category": "milk", "price": 2.5}
    assert store.get("default", "item/7")["metadata"] == {"title": "Item 7, photographed again"}
    assert store.get("shop-2", "item/2")["metadata"] == {"available": True}
    assert store.thumbnail("default", "item/20") == b"jpeg of 20"
    for tenant in ("default", "shop-2"):
        with store.feed().snapshot(tenant) as snapshot:
            (rows,) = snapshot.chunks
        items = store.hydrate(tenant, rows.pks.tolist())
        assert len(items) == len(rows) == snapshot.count == store.counts()[tenant]
        for pk, own, code in zip(rows.pks.tolist(), rows.vectors, rows.codes, strict=True):
            number = int(items[pk].id.removeprefix("item/"))
            assert np.array_equal(own, vector(number))
            assert items[pk].code == code.tobytes() == bytes([number, number + 1, number + 2, number + 3])
    assert [key["name"] for key in Keys(store.database).list()] == ["golden"]
    assert [(c.label, c.items, c.missing) for c in store.coverage()] == [("golden 1", 23, 0)]
    assert store.verify() == []


def test_numbers_go_on_where_they_were(path: Path) -> None:
    """The highest pk and change belong to an item that is gone: neither may be used a second time."""
    store = Store(Database(path, [MADE_BY]))
    assert store.position() == LAST_SEQ
    with pytest.raises(ChangesPruned):
        store.feed().changes_since(LAST_SEQ - 1)
    store.add("default", [new_item("new", generations=(MADE_BY,))])
    (change,) = store.feed().changes_since(LAST_SEQ)
    assert (change.seq, change.pk) == (LAST_SEQ + 1, LAST_PK + 1)


def test_a_migrated_catalogue_is_as_a_new_one(path: Path, tmp_path: Path) -> None:
    migrated, new = Database(path, [MADE_BY]), Database(tmp_path / "new.sqlite", [MADE_BY])
    shape = [
        {
            (table, *row[1:3])
            for (table,) in database.ask("SELECT name FROM sqlite_master WHERE type = 'table'")
            for row in database.ask(f"PRAGMA table_info({table})")
        }
        for database in (migrated, new)
    ]
    assert shape[0] == shape[1]
    indexes = [{name for (name,) in database.ask("SELECT name FROM sqlite_master WHERE type = 'index'")} for database in (migrated, new)]  # fmt: skip
    assert indexes[0] == indexes[1]
    assert {slot for (slot,) in migrated.ask("SELECT slot FROM items WHERE id = 'item/5' AND tenant = 'default'")} == {slot_of("default", "item/5")}  # fmt: skip


def test_what_was_deleted_before_leaves_the_file(path: Path) -> None:
    """Schema 1 overwrote what it deleted with some builds of SQLite only, and free pages are not written again."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA secure_delete = OFF")
    connection.execute(
        "UPDATE items SET metadata = ? WHERE id = 'item/20'", ('{"title": "' + "private " * 25_000 + '"}',)
    )
    connection.execute("DELETE FROM items WHERE id = 'item/20'")
    connection.close()
    assert path.read_bytes().count(b"private ") > 20_000
    database = Database(path, [MADE_BY])
    assert b"private " not in path.read_bytes()
    assert database.ask("SELECT key FROM meta WHERE key = 'vacuum_due'") == []
    database.close()


def test_it_opens_with_another_bundle_too(path: Path) -> None:
    store = Store(Database(path, [Generation("ab" * 8, "other 1", 32, 8)]))
    assert [(c.label, c.items, c.missing) for c in store.coverage()] == [("of schema 1", 23, 0), ("other 1", 0, 23)]
    with pytest.raises(VersionMismatch, match="expected vectors of 16 numbers and codes of 4 bytes"):
        Database(path, [Generation(MADE_BY.pairing_id, "wrong", 16, 8)])


def test_an_empty_catalogue_of_schema_1_belongs_to_no_bundle(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.executescript("DELETE FROM thumbnails; DELETE FROM items; DELETE FROM changes;")
    connection.close()
    store = Store(Database(path, [Generation("ab" * 8, "other 1", 32, 8)]))
    assert [c.label for c in store.coverage()] == ["other 1"] and store.position() == 0


def test_a_refused_bundle_leaves_the_old_file_as_it_was(path: Path) -> None:
    with pytest.raises(VersionMismatch):
        Database(path, [Generation(MADE_BY.pairing_id, "wrong", 16, 8)])
    connection = sqlite3.connect(path)
    assert dict(connection.execute("SELECT key, value FROM meta")) == {"schema": "1", "pairing_id": MADE_BY.pairing_id}
    assert connection.execute("SELECT count(*) FROM items WHERE length(vector) = 32").fetchone() == (23,)
    connection.close()


@pytest.mark.parametrize(("schema", "hint"), [("4", "Upgrade the sightline package"), ("nonsense", "Give the data")])
def test_a_schema_that_this_package_does_not_know_is_refused(path: Path, schema: str, hint: str) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("UPDATE meta SET value = ? WHERE key = 'schema'", (schema,))
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()
    before = hashlib.sha256(path.read_bytes()).digest()
    with pytest.raises(StoreError, match=f"expected catalogue schema 3, got '{schema}'. {hint}"):
        Database(path, [MADE_BY])
    assert hashlib.sha256(path.read_bytes()).digest() == before


@pytest.fixture
def second(tmp_path: Path) -> Path:
    return Path(shutil.copy(GOLDEN_2, tmp_path / "c2.sqlite"))


def test_a_catalogue_of_schema_2_is_whole_in_schema_3(second: Path) -> None:
    store = Store(Database(second, BOTH))
    assert store.counts() == {"default": 18, "shop-2": 5} and store.position() == 28
    assert store.get("default", "item/5")["metadata"] == {"title": "Item 5 é", "category": "milk", "price": 9.0}
    assert [(c.label, c.items, c.missing) for c in store.coverage()] == [("golden 1", 23, 0), ("golden 2", 23, 0)]
    assert store.verify() == []
    assert {change.op for change in store.feed().changes_since(0)} == {"add", "update", "remove"}
    again = store.erase("default", ["item/4"])
    assert (again.found, again.earlier) == ([], {"item/4": 1}), "receipts are still known"


def test_keys_of_schema_2_open_what_they_opened_and_learn_what_is_new(second: Path) -> None:
    keys = Keys(Database(second, BOTH))
    one, two, three = (f"sk_golden-secret-number-{number}-of-schema-2" for number in range(3))
    assert keys.caller(f"Bearer {one}") == Caller("default", "golden", frozenset({"search", "write"}))
    assert keys.caller(f"Bearer {three}").tenant == "shop-2"
    with pytest.raises(KeyUnknown):
        keys.caller(f"Bearer {two}")
    assert {(row["name"], row["expires"], row["used"], row["previous_until"]) for row in keys.list()} == {
        (name, None, None, None) for name in ("golden", "gone", "theirs")
    }
    new = keys.rotate("golden", days=3)
    keys.limit("golden", {"burst": 2})
    assert keys.caller(f"Bearer {one}") == keys.caller(f"Bearer {new}")
    assert keys.caller(f"Bearer {new}").limits == {"burst": 2}


def test_a_migrated_schema_2_is_as_a_new_catalogue(second: Path, tmp_path: Path) -> None:
    def shape(database: Database) -> tuple[set[tuple[str, ...]], set[str]]:
        tables = [name for (name,) in database.ask("SELECT name FROM sqlite_master WHERE type = 'table'")]
        columns = {(table, *row[1:3]) for table in tables for row in database.ask(f"PRAGMA table_info({table})")}
        return columns, {name for (name,) in database.ask("SELECT name FROM sqlite_master WHERE type = 'index'")}

    assert shape(Database(second, BOTH)) == shape(Database(tmp_path / "new.sqlite", BOTH))


def test_schema_2_in_postgresql_becomes_schema_3(postgres_url: str) -> None:
    database = Database(postgres_url, BOTH)
    key = Keys(database).add("app", tenant="shop")
    with database.write() as connection:  # as schema 2 was
        connection.exec_driver_sql("DROP TABLE blocked")
        connection.exec_driver_sql("DROP INDEX keys_by_previous")
        for column in ("expires", "previous", "previous_until", "used", "limits"):
            connection.exec_driver_sql(f"ALTER TABLE keys DROP COLUMN {column}")
        connection.exec_driver_sql("UPDATE meta SET value = '2' WHERE key = 'schema'")
    database.close()
    again = Database(postgres_url, BOTH)
    new = Keys(again).rotate("app", tenant="shop")
    assert Keys(again).caller(f"Bearer {key}") == Keys(again).caller(f"Bearer {new}")
    assert BlockedImages(again, bits=4).add(0x8F1E3C7C1E0F0703, "case") and again.ask("SELECT hash FROM blocked") == [
        ("8f1e3c7c1e0f0703",)
    ]
    again.close()
