"""What the catalogue promises, on SQLite and on PostgreSQL."""

import threading

import numpy as np
import pytest
from support.catalogue import GENERATION, OTHER, embedding, new_item
from support.tiny_bundle import DIM

from sightline_cloud.catalog.records import Embedding, NewItem
from sightline_cloud.catalog.store import Store
from sightline_shared.errors import ItemNotFound, StoreError, VersionMismatch

TEXT = "Grüße, 日本 \U0001f95b % ? ' \" \\ \n"


def log(store: Store) -> list[tuple[str, int, str]]:
    return [(change.tenant, change.pk, change.op) for change in store.feed().changes_since(0)]


def test_what_was_added_comes_back(store) -> None:
    item = new_item("a", thumbnail=b"\xff\x00jpeg", title=TEXT, price=1.5, available=True, nothing=None)
    assert store.add("t", [item]) == 0
    got = store.get("t", "a")
    assert got.pop("created").startswith("20")
    assert got == {"id": "a", "metadata": dict(item.metadata), "width": 640, "height": 480}
    assert store.thumbnail("t", "a") == b"\xff\x00jpeg"
    (stored,) = store.hydrate("t", [1, 99]).values()
    assert (stored.pk, stored.id, stored.metadata) == (1, "a", dict(item.metadata))
    assert stored.code == item.embeddings[GENERATION.pairing_id].code
    assert store.counts() == {"t": 1} and store.position() == 1


def test_ids_may_be_any_text(store) -> None:
    ids = [TEXT.strip(), "a/b.jpg", "%", "?", "'; DROP TABLE items --", '["a"]', "null", "0"]
    store.add("t", [new_item(item_id) for item_id in ids])
    assert [store.get("t", item_id)["id"] for item_id in ids] == ids
    assert sorted(store.remove("t", ids)) == sorted(ids) and store.counts() == {}


def test_an_item_that_is_added_again_gets_a_new_pk_and_the_old_one_is_never_used_again(store) -> None:
    store.add("t", [new_item("a"), new_item("b")])
    assert store.add("t", [new_item("b", title="again"), new_item("c")]) == 1
    store.remove("t", ["b", "c", "never there"])
    store.add("t", [new_item("d")])
    assert log(store) == [
        ("t", 1, "add"), ("t", 2, "add"), ("t", 2, "remove"), ("t", 3, "add"), ("t", 4, "add"), ("t", 3, "remove"),
        ("t", 4, "remove"), ("t", 5, "add"),
    ]  # fmt: skip
    assert set(store.hydrate("t", range(1, 9))) == {1, 5}


def test_of_two_items_with_one_id_in_a_batch_the_later_one_counts(store) -> None:
    store.add("t", [new_item("a", title="first"), new_item("b"), new_item("a", title="second")])
    assert store.counts() == {"t": 2} and store.get("t", "a")["metadata"] == {"title": "second"}


def test_no_tenant_sees_or_changes_what_another_one_has(store) -> None:
    store.add("one", [new_item("a", title="one's")])
    store.add("two", [new_item("a", title="two's")])
    assert store.hydrate("one", [1, 2]).keys() == {1}
    assert store.get("two", "a")["metadata"] == {"title": "two's"}
    assert store.remove("two", ["a"]) == ["a"] and store.counts() == {"one": 1}
    store.update_metadata("one", "a", {"title": "still one's"})
    for ask in (store.get, store.thumbnail, lambda tenant, item: store.update_metadata(tenant, item, {})):
        with pytest.raises(ItemNotFound):
            ask("two", "a")


def test_updating_metadata_keeps_vector_and_pk_and_is_logged(store) -> None:
    store.add("t", [new_item("a", price=1, colour="red", size=3)])
    before = store.feed().rows([1])
    assert store.update_metadata("t", "a", {"price": 2, "colour": None, "new": "yes"}) == {"price": 2, "size": 3, "new": "yes"}  # fmt: skip
    after = store.feed().rows([1])
    assert after.metadata == [{"price": 2, "size": 3, "new": "yes"}] == [store.get("t", "a")["metadata"]]
    assert np.array_equal(before.vectors, after.vectors) and np.array_equal(before.codes, after.codes)
    assert log(store) == [("t", 1, "add"), ("t", 1, "update")]


def test_a_check_that_refuses_the_merged_metadata_leaves_it_as_it_was(store) -> None:
    store.add("t", [new_item("a", price=1, colour="red")])
    seen = []

    def refuse(merged):
        seen.append(merged)
        raise StoreError("too much")

    with pytest.raises(StoreError, match="too much"):
        store.update_metadata("t", "a", {"price": 2}, refuse)
    assert seen == [{"price": 2, "colour": "red"}]
    assert store.get("t", "a")["metadata"] == {"price": 1, "colour": "red"} and store.position() == 1


def test_an_item_without_a_thumbnail_says_so(store) -> None:
    store.add("t", [new_item("a", thumbnail=b"")])
    with pytest.raises(ItemNotFound):
        store.thumbnail("t", "a")


def test_many_more_items_than_a_statement_takes_values(store) -> None:
    vector, code = embedding(1)
    items = [NewItem(f"i{n}", {GENERATION.pairing_id: Embedding(vector, code)}) for n in range(3000)]
    durable = 0
    for count in store.bulk_add("t", items, batch=1000):
        durable += count
        assert store.counts() == {"t": durable}
    assert durable == 3000 == len(store.feed().rows(range(1, 5000)))
    assert len(store.remove("t", [item.id for item in items])) == 3000 and store.counts() == {}


def test_a_bulk_load_draws_items_as_it_stores_them(store) -> None:
    drawn = []

    def items():
        for number in range(25):
            drawn.append(number)
            yield new_item(f"i{number}")

    load = store.bulk_add("t", items(), batch=10)
    assert next(load) == 10 and len(drawn) == 10 and store.counts() == {"t": 10}
    assert list(load) == [10, 5]


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {GENERATION.pairing_id: Embedding(np.ones(DIM - 1, np.float32), bytes(64))},
        {GENERATION.pairing_id: Embedding(np.ones(DIM, np.float32), bytes(63))},
        {GENERATION.pairing_id: Embedding(np.full(DIM, np.nan, np.float32), bytes(64))},
    ],
)
def test_a_vector_that_is_no_generations_is_refused_and_nothing_is_stored(store, wrong) -> None:
    with pytest.raises(StoreError, match="item 'bad': expected a vector"):
        store.add("t", [new_item("good"), NewItem("bad", wrong)])
    assert store.counts() == {} and store.position() == 0


def test_a_vector_of_a_generation_that_is_not_live_is_refused(store) -> None:
    with pytest.raises(VersionMismatch, match="expected a live generation"):
        store.add("t", [new_item("a", generations=(OTHER,))])
    with pytest.raises(VersionMismatch):
        store.feed(OTHER.pairing_id)


def test_writers_side_by_side_lose_nothing_and_number_their_changes_in_order_of_commit(opened) -> None:
    """A reader at change n never sees a change with a smaller number later."""
    stores, stop, seen, failures = [opened() for _ in range(3)], threading.Event(), [], []

    def write(store: Store, name: str) -> None:
        try:
            for number in range(30):
                store.add("t", [new_item(f"{name}{number}"), new_item("shared")])
        except Exception as error:
            failures.append(error)

    def follow(store: Store) -> None:
        last = 0
        while True:
            ended = stop.is_set()
            changes = store.feed().changes_since(last)
            seen.extend(change.seq for change in changes)
            last = seen[-1] if seen else 0
            if ended and not changes:
                return

    follower = threading.Thread(target=follow, args=[stores[2]])
    writers = [threading.Thread(target=write, args=[stores[n % 2], f"w{n}-"]) for n in range(3)]
    for thread in (follower, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    follower.join()
    assert not failures
    assert seen == [change.seq for change in stores[0].feed().changes_since(0)]
    assert stores[1].counts() == {"t": 91}


def test_a_failure_half_way_leaves_nothing(store, monkeypatch) -> None:
    store.add("t", [new_item("a", title="old")])
    monkeypatch.setattr("sightline_cloud.catalog.changelog.append", lambda *rest: 1 / 0)
    for change in (
        lambda: store.add("t", [new_item("a", title="new"), new_item("b")]),
        lambda: store.remove("t", ["a"]),
        lambda: store.update_metadata("t", "a", {"title": "new"}),
    ):
        with pytest.raises(ZeroDivisionError):
            change()
    assert store.counts() == {"t": 1} and store.get("t", "a")["metadata"] == {"title": "old"}
    assert store.thumbnail("t", "a") == b"jpeg" and len(store.feed().rows([1])) == 1 and store.position() == 1
