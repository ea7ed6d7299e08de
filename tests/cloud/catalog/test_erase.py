"""An erased item leaves nothing but a receipt, and the receipt proves it."""

import json
from pathlib import Path

import pytest
from support.catalogue import GENERATION, OTHER, new_item

from sightline_cloud.catalog import sqlite
from sightline_cloud.catalog.database import Database
from sightline_cloud.catalog.erase import is_genuine
from sightline_cloud.catalog.records import NewItem
from sightline_cloud.catalog.store import Store
from sightline_shared.errors import ItemNotFound, StoreUnavailable

BOTH = (GENERATION, OTHER)


def item(name: str, seed: int, title: str) -> NewItem:
    return new_item(name, seed=seed, thumbnail=b"\xff\xd8 picture %d " % seed * 40, generations=BOTH, title=title)


def traces(*items: NewItem) -> list[bytes]:
    """What a search of the raw files would look for."""
    found = []
    for one in items:
        found += [one.id.encode(), str(one.metadata["title"]).encode(), one.thumbnail[:30]]
        for vector, code in one.embeddings.values():
            found += [vector.astype("<f2").tobytes(), code]
    return found


def raw(path: Path) -> bytes:
    return b"".join(file.read_bytes() for file in path.parent.iterdir())


def test_its_bytes_are_in_no_file_any_more(tmp_path: Path) -> None:
    """In neither the database nor its log: not the item, nor what it was before it was replaced and changed."""
    path = tmp_path / "c.sqlite"
    store = Store(Database(path, BOTH))
    first, second = item("private/photo", 1, "first title"), item("private/photo", 2, "second title")
    kept = [item(f"kept/{number}", 100 + number, f"kept {number}") for number in range(30)]
    store.add("t", [*kept[:15], first, *kept[15:]])
    store.add("t", [second])
    store.update_metadata("t", "private/photo", {"title": "third title"})
    erased = [*traces(first, second), b"third title"]
    assert all(trace in raw(path) for trace in erased if trace != b"first title")
    receipt = store.erase("t", ["private/photo"])
    assert [trace for trace in erased if trace in raw(path)] == []
    assert receipt.found == ["private/photo"]
    assert all(trace in raw(path) for trace in traces(*kept)), "the test's own search works"
    assert store.counts() == {"t": 30} and store.verify() == []
    store.database.close()


def test_it_is_gone_for_everyone_and_never_comes_back(opened) -> None:
    store = opened(*BOTH)
    store.add("t", [item("a", 1, "a"), item("b", 2, "b")])
    receipt = store.erase("t", ["a", "never there"])
    assert (receipt.found, receipt.unknown, receipt.earlier) == (["a"], ["never there"], {})
    for again in (store, opened(*BOTH)):
        with pytest.raises(ItemNotFound):
            again.get("t", "a")
        assert again.hydrate("t", [1, 2]).keys() == {2}
        assert all(len(again.feed(kind.pairing_id).rows([1])) == 0 for kind in BOTH)
        assert [change.op for change in again.feed().changes_since(2)] == ["remove"]
    assert [c.items for c in store.coverage()] == [1, 1]


def test_the_receipt_says_what_was_erased_where(opened) -> None:
    store = opened(*BOTH)
    store.add("t", [item("a", 1, "a"), item("b", 2, "b"), new_item("c", thumbnail=b"")])
    asked = []

    def snapshots(tenant, pks):
        asked.append((tenant, pks))
        return ["main-7", "main-8"]

    receipt = store.erase("t", ["a", "c"], {"snapshots": snapshots, "caches": lambda tenant, pks: 3})
    assert asked == [("t", [1, 3])]
    assert receipt.content["erased"] == {
        "catalogue": {"items": 2, "thumbnails": 1, "vectors_1": 2, "vectors_2": 1},
        "snapshots": ["main-7", "main-8"],
        "caches": 3,
    }
    assert receipt.content["seq"] == store.position() == 5
    assert receipt.content["catalogue_id"] == store.feed().catalogue_id


def test_the_receipt_is_proof_and_holds_nothing_of_the_item(opened) -> None:
    store = opened(*BOTH)
    store.add("t", [item("private/photo", 1, "private title"), item("b", 2, "b")])
    given = json.loads(json.dumps(store.erase("t", ["private/photo"]).to_dict()))
    assert is_genuine(store.database, given)
    ((kept,),) = store.database.ask("SELECT receipt FROM erasures")
    assert json.loads(kept) == given["content"] and "private" not in kept
    for tampered in (
        {**given, "found": ["b"]},
        {**given, "found": []},
        {**given, "sha256": "0" * 64},
        {**given, "content": {**given["content"], "tenant": "other"}},
        {**given, "content": {**given["content"], "number": 2}},
        {**given, "content": None},
        {},
    ):
        assert not is_genuine(store.database, tampered)


def test_another_catalogues_receipt_is_none_of_ours(tmp_path: Path) -> None:
    stores = [Store(Database(tmp_path / f"{n}.sqlite", BOTH)) for n in range(2)]
    for store in stores:
        store.add("t", [item("a", 1, "a")])
    first, second = (store.erase("t", ["a"]).to_dict() for store in stores)
    assert is_genuine(stores[0].database, first) and not is_genuine(stores[0].database, second)
    assert first["content"]["ids"] != second["content"]["ids"], "digests are salted: catalogues cannot be compared"


def test_erasing_once_more_names_the_earlier_erasure(opened) -> None:
    store = opened(*BOTH)
    store.add("t", [item("a", 1, "a"), item("b", 2, "b")])
    first = store.erase("t", ["a"])
    second = store.erase("t", ["a", "b"])
    assert second.found == ["b"] and second.earlier == {"a": first.content["number"]} and second.unknown == []
    assert store.erase("other", ["a"]).earlier == {}
    store.add("t", [item("a", 3, "back on purpose")])
    third = store.erase("t", ["a"])
    assert third.found == ["a"] and third.earlier == {}


def test_a_trace_that_cannot_be_erased_now_is_erased_by_the_next_call(opened) -> None:
    store = opened(*BOTH)
    store.add("t", [item("a", 1, "a"), item("b", 2, "b")])

    def broken(tenant, pks):
        raise StoreUnavailable("the disk of the snapshots went away")

    with pytest.raises(StoreUnavailable):
        store.erase("t", ["a"], {"snapshots": broken})
    assert store.counts() == {"t": 1}, "it answers no more, whatever else is left of it"
    asked = []
    later = opened(*BOTH).erase("t", ["a"], {"snapshots": lambda tenant, pks: asked.append(pks)})
    assert asked == [[1], []]
    assert later.found == [] and later.earlier == {"a": 1}
    unfinished = store.database.ask("SELECT number FROM erasures WHERE pks IS NOT NULL")
    assert unfinished == []


def test_a_reader_that_holds_the_log_is_named_and_the_next_call_empties_it(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(sqlite, "PRAGMAS", (*sqlite.PRAGMAS, "busy_timeout=50"))
    path = tmp_path / "c.sqlite"
    store = Store(Database(path, BOTH))
    private = item("private", 1, "private title")
    store.add("t", [private, item("b", 2, "b")])
    with store.feed().snapshot("t") as reading:
        next(reading.chunks)
        with pytest.raises(StoreUnavailable, match="readers or writers that still use it"):
            store.erase("t", ["private"])
    assert any(trace in raw(path) for trace in traces(private))
    assert store.erase("t", ["private"]).earlier == {"private": 1}
    assert not any(trace in raw(path) for trace in traces(private))
    store.database.close()


def test_erasing_nothing_gives_an_empty_receipt(store) -> None:
    receipt = store.erase("t", [])
    assert receipt.found == [] and receipt.content["erased"]["catalogue"] == {"items": 0, "thumbnails": 0, "vectors_1": 0}  # fmt: skip
    assert is_genuine(store.database, receipt.to_dict())
