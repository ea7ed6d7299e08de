"""The head of the catalogue: which items are in it, and what a row holds of them."""

from pathlib import Path

import pytest
from support.catalogue import GENERATION, new_item
from support.phones import ids_of

from sightline_cloud.catalog.database import Database
from sightline_cloud.catalog.store import Store
from sightline_cloud.pocket import head
from sightline_cloud.pocket.head import Wanted, cells_of, read_head
from sightline_shared.errors import StoreCorrupt
from sightline_shared.pocket_columns import MAX_CELL_BYTES

KEYS = ("category", "available")


@pytest.fixture
def store(tmp_path: Path):
    database = Database(tmp_path / "data" / "catalogue.sqlite", [GENERATION])
    yield Store(database)
    database.close()


def head_ids(store: Store, items: int = 100, listed: tuple[str, ...] = (), tenant: str = "default") -> list[str]:
    generation = store.database.generation()
    found = read_head(store.database, generation, Wanted(tenant, items, listed, KEYS))
    return ids_of(found.pocket)


def test_the_newest_available_items_are_the_head_and_an_item_added_again_is_new(store: Store) -> None:
    store.add("default", [new_item(f"i{n}", available=n != 4) for n in range(6)])
    assert head_ids(store, 3) == ["i2", "i3", "i5"]
    store.add("default", [new_item("i0")])
    assert head_ids(store, 3) == ["i3", "i5", "i0"]
    assert head_ids(store, 3, ("i1", "nobody", "i4")) == ["i1", "i5", "i0"], "the operator's come first, if available"
    assert head_ids(store, 2, ("i1", "i2", "i3"))[:2] == ["i1", "i2"], "in the operator's order"


def test_an_archived_item_is_in_no_head_even_if_it_is_named(store: Store) -> None:
    store.add("default", [new_item("a"), new_item("b", archived=True), new_item("c", archived=False)])
    assert head_ids(store, 3, ("b",)) == ["a", "c"]
    store.update_metadata("default", "b", {"archived": None})
    assert head_ids(store, 3, ("b",)) == ["a", "b", "c"]


def test_no_more_items_are_looked_at_than_four_times_the_head(store: Store) -> None:
    store.add("default", [new_item("old")] + [new_item(f"hidden{n}", available=False) for n in range(11)])
    assert head_ids(store, 3) == ["old"], "the twelfth is still looked at"
    store.add("default", [new_item("hidden", available=False)])
    assert head_ids(store, 3) == []


def test_a_head_holds_one_tenant_and_a_generation_without_vectors_is_left_out(store: Store) -> None:
    store.add("default", [new_item("mine")])
    store.add("another", [new_item("yours")])
    assert head_ids(store) == ["mine"] and head_ids(store, tenant="another") == ["yours"]
    assert head_ids(store, tenant="nobody") == []


def test_a_row_holds_id_short_title_and_what_filters_ask_for() -> None:
    metadata = {
        "title": "t" * 59 + " " + "t" * 300,
        "category": "milk",
        "available": True,
        "price": 9.5,
        "brand": "b" * 201,
    }
    cells = cells_of("é/1", metadata, ("category", "available", "brand", "size"))
    assert cells == ('"é/1"'.encode(), b'"' + b"t" * 59 + b'"', b'"milk"', b"true", b"", b"")
    worst = cells_of(
        '"' * 200, {"title": "\0" * 300, "a": "\0" * 200, "b": "\U0001f600" * 200, "c": -1.7976931348623157e308}, "abc"
    )
    assert max(map(len, worst)) == MAX_CELL_BYTES and not any(b"\n" in cell for cell in worst)
    assert cells_of("a", {"title": 5}, ()) == (b'"a"', b"")


def test_a_damaged_row_is_not_carried_away(store: Store) -> None:
    store.add("default", [new_item("a"), new_item("b")])
    with store.database.write() as connection:
        connection.exec_driver_sql("UPDATE items SET metadata = '{\"title\": \"forged\"}' WHERE id = 'a'")
    with pytest.raises(StoreCorrupt, match="'a'"):
        head_ids(store)


def test_an_item_that_a_damaged_index_calls_the_tenants_own_is_not_carried_away(store: Store, monkeypatch) -> None:
    store.add("another", [new_item("theirs")])
    ask = head._Reader._rows

    def damaged(reader, where: str, *values: object) -> list:
        reader._select = reader._select.replace("items.tenant = ?", "? <> ''")
        return ask(reader, where, *values)

    monkeypatch.setattr(head._Reader, "_rows", damaged)
    with pytest.raises(StoreCorrupt, match="another's"):
        head_ids(store)
