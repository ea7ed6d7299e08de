"""The catalogue as indexes see it: rows, snapshots, the change log, slots."""

import numpy as np
import pytest
from support.catalogue import GENERATION, new_item

from sightline_cloud.catalog.slots import SLOTS, slot_of
from sightline_shared.errors import ChangesPruned

EVEN = range(0, SLOTS, 2)


def test_rows_come_in_order_of_pk_and_only_those_that_are_there(store) -> None:
    items = [new_item(f"i{n}", number=n) for n in range(8)]
    store.add("t", items)
    store.remove("t", ["i4"])
    rows = store.feed().rows([8, 99, 1, 5, 3])
    assert rows.pks.tolist() == [1, 3, 8] and rows.pks.dtype == np.int64
    assert [row["number"] for row in rows.metadata] == [0, 2, 7]
    for place, number in enumerate((0, 2, 7)):
        vector, code = items[number].embeddings[GENERATION.pairing_id]
        assert np.array_equal(rows.vectors[place], vector.astype(np.float16))
        assert rows.codes[place].tobytes() == code
    nothing = store.feed().rows([])
    assert nothing.vectors.shape == (0, GENERATION.dim) and nothing.codes.shape == (0, GENERATION.code_size)


@pytest.mark.parametrize("chunk", [1, 7, 20, 1000])
def test_a_snapshot_gives_each_row_once_in_chunks(store, chunk: int) -> None:
    store.add("t", [new_item(f"i{n}") for n in range(20)])
    store.add("other", [new_item("x")])
    store.remove("t", ["i0", "i19"])
    with store.feed().snapshot("t", chunk=chunk) as snapshot:
        chunks = list(snapshot.chunks)
    assert snapshot.count == 18 and snapshot.seq == store.position()
    assert all(len(rows) <= chunk for rows in chunks)
    assert [pk for rows in chunks for pk in rows.pks.tolist()] == list(range(2, 20))


def test_a_snapshot_does_not_see_what_is_written_while_it_is_read(store) -> None:
    store.add("t", [new_item(f"i{n}", old=True) for n in range(6)])
    with store.feed().snapshot("t", chunk=2) as snapshot:
        first = next(snapshot.chunks)
        store.remove("t", ["i4", "i5"])
        store.add("t", [new_item("i1", old=False), new_item("late")])
        store.update_metadata("t", "i3", {"old": False})
        rest = list(snapshot.chunks)
    assert first.pks.tolist() == [1, 2] and [rows.pks.tolist() for rows in rest] == [[3, 4], [5, 6]]
    assert all(row["old"] for rows in rest for row in rows.metadata)
    assert [change.op for change in store.feed().changes_since(snapshot.seq)] == ["remove", "remove", "remove", "add", "add", "update"]  # fmt: skip


def test_a_snapshot_of_a_tenant_without_items_is_empty(store) -> None:
    with store.feed().snapshot("nobody") as snapshot:
        assert snapshot.count == 0 and list(snapshot.chunks) == []


def test_following_the_log_in_small_steps_misses_and_doubles_nothing(store) -> None:
    for number in range(5):
        store.add("t", [new_item(f"i{number}"), new_item("again")])
    feed, seq, steps = store.feed(), 0, []
    while changes := feed.changes_since(seq, limit=2):
        assert len(changes) <= 2
        steps += changes
        seq = changes[-1].seq
    assert steps == feed.changes_since(0) and seq == feed.position() == 14


def test_shards_divide_the_catalogue(store) -> None:
    ids = [f"i{n}" for n in range(40)]
    store.add("t", [new_item(item_id) for item_id in ids])
    store.remove("t", ids[:10])
    even, odd = store.feed(slots=EVEN), store.feed(slots=range(1, SLOTS, 2))
    for feed, parity in ((even, 0), (odd, 1)):
        own = {pk for pk, item_id in enumerate(ids, 1) if slot_of("t", item_id) % 2 == parity}
        left = {pk for pk in own if pk > 10}
        assert {change.pk for change in feed.changes_since(0)} == own
        assert set(feed.rows(range(1, 41)).pks.tolist()) == left
        assert feed.tenants() == {"t": len(left)}
        with feed.snapshot("t", chunk=3) as snapshot:
            assert snapshot.count == len(left)
            assert {pk for rows in snapshot.chunks for pk in rows.pks.tolist()} == left
    assert len(even.changes_since(0)) + len(odd.changes_since(0)) == 50
    assert store.feed(slots=()).changes_since(0) == [] and store.feed(slots=()).tenants() == {}


def test_whoever_stands_before_the_kept_log_is_told_so(opened) -> None:
    store = opened()
    for number in range(6):
        store.add("t", [new_item(f"i{number}")])
    feed = store.feed()
    assert store.prune_changes(4) == 4 and store.prune_changes(4) == 0
    for seq in (0, 3):
        with pytest.raises(ChangesPruned, match=f"expected changes after {seq}, got a log that begins after 4"):
            feed.changes_since(seq)
    assert [change.seq for change in feed.changes_since(4)] == [5, 6]
    assert store.prune_changes(99) == 2 and feed.changes_since(6) == []
    assert feed.position() == opened().position() == 6, "an empty log forgets nothing of how far it had come"
    store.add("t", [new_item("new")])
    assert [change.seq for change in opened().feed().changes_since(6)] == [7]


def test_a_catalogue_keeps_its_random_name(opened, tmp_path) -> None:
    first = opened().feed().catalogue_id
    assert len(first) == 32 and opened().feed().catalogue_id == first


def test_the_update_of_metadata_is_a_change_that_keeps_its_pk(store) -> None:
    store.add("t", [new_item("a", available=True)])
    store.update_metadata("t", "a", {"available": False})
    (change,) = store.feed().changes_since(1)
    assert (change.op, change.pk) == ("update", 1)
    assert store.feed().rows([change.pk]).metadata == [{"available": False}]
