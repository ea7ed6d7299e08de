"""Items that were just read: never old, never another tenant's, never more than they may take."""

import contextlib
import sqlite3
import tempfile
import threading
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.catalogue import GENERATION, OTHER, embedding, new_item

from sightline_cloud.catalog.backend import WouldWait
from sightline_cloud.catalog.database import Database
from sightline_cloud.catalog.recent import RecentItems
from sightline_cloud.catalog.records import StoredItem
from sightline_cloud.catalog.store import Store
from sightline_shared.errors import ItemNotFound

BOTH = (GENERATION, OTHER)
ROOM = 10**6
PKS = range(1, 60)

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["add", "update", "remove", "erase", "backfill", "look"]),
        st.sampled_from(["one", "two"]),
        st.sampled_from(["a", "b", "c"]),
        st.integers(0, 1),
    ),
    max_size=25,
)


def do(store: Store, step: str, tenant: str, item_id: str, number: int) -> None:
    if step == "add":
        store.add(tenant, [new_item(item_id, seed=number, n=number)])
    elif step == "update":
        with contextlib.suppress(ItemNotFound):
            store.update_metadata(tenant, item_id, {"n": number, "who": tenant})
    elif step == "remove":
        store.remove(tenant, [item_id])
    elif step == "erase":
        store.erase(tenant, [item_id])
    elif step == "backfill":
        store.add_vectors(tenant, OTHER.pairing_id, {item_id: embedding(number, OTHER)})


def everything(store: Store) -> dict[tuple[str, str], dict[int, StoredItem]]:
    return {
        (tenant, kind.pairing_id): store.hydrate(tenant, PKS, kind.pairing_id)
        for tenant in ("one", "two")
        for kind in BOTH
    }


@settings(deadline=None, max_examples=40)
@given(STEPS, st.sampled_from([ROOM, 3000]))
def test_whoever_changes_the_catalogue_the_next_look_is_what_the_catalogue_says(steps, room: int) -> None:
    """Two services and a command on one file, each with its own connections, as in three processes."""
    with tempfile.TemporaryDirectory() as folder:
        stores = [Store(Database(Path(folder) / "c.sqlite", BOTH), recent_bytes=size) for size in (room, room, 0)]
        *looking, plain = stores
        for number, (step, tenant, item_id, who) in enumerate(steps):
            do(stores[2 * who], step, tenant, item_id, number)
            truth = everything(plain)
            for store in looking:
                assert everything(store) == truth
                assert everything(store) == truth, "also when it is known"
                assert store.recent.stats()["bytes"] <= room
        for store in stores:
            store.database.close()


@pytest.fixture
def store(tmp_path: Path):
    store = Store(Database(tmp_path / "c.sqlite", [GENERATION]), recent_bytes=ROOM)
    yield store
    store.database.close()


def test_what_is_known_is_not_read_again_and_the_rest_is(store, monkeypatch) -> None:
    store.add("t", [new_item(f"i{n}") for n in range(4)])
    first = store.hydrate("t", [1, 2])
    asked, honest = [], store.database.backend.ask
    monkeypatch.setattr(
        store.database.backend, "ask", lambda text, values: asked.append(values) or honest(text, values)
    )
    assert store.hydrate("t", [1, 2]) == first and not asked
    assert set(store.hydrate("t", [1, 2, 3])) == {1, 2, 3} and asked == [("t", "[3]")]
    assert store.recent.stats()["hits"] == 4 and store.recent.stats()["misses"] == 3


def test_no_tenant_gets_what_is_known_of_anothers(store) -> None:
    store.add("t", [new_item("a")])
    assert set(store.hydrate("t", [1])) == {1}
    assert store.hydrate("other", [1]) == {}


def test_an_erasure_leaves_nothing_here(store) -> None:
    store.add("t", [new_item("a"), new_item("b")])
    store.hydrate("t", [1, 2])
    assert store.recent.stats()["items"] == 2
    store.erase("t", ["a"])
    assert store.recent.stats()["items"] == store.recent.stats()["bytes"] == 0


def test_what_is_asked_for_stays_and_the_rest_makes_room() -> None:
    def item(number: int) -> dict[int, StoredItem]:
        return {number: StoredItem(number, f"item/{number}", {"title": "x" * 500}, b"")}

    recent = RecentItems(40_000)
    for number in range(200):
        assert recent.get(1, "t", "g", [0, number]) == (item(0) if number else {}), "the first is asked for every time"
        recent.put(1, "t", "g", item(number))
        assert recent.stats()["bytes"] <= 40_000
    assert 15 < recent.stats()["items"] < 60
    assert recent.get(1, "t", "g", range(1, 100)) == {} and len(recent.get(1, "t", "g", range(190, 200))) == 10


def test_an_item_that_takes_more_than_the_room_is_not_kept() -> None:
    recent = RecentItems(2000)
    recent.get(1, "t", "g", [7])
    recent.put(1, "t", "g", {7: StoredItem(7, "a", {"title": "x" * 1000}, b"")})
    assert recent.get(1, "t", "g", [7]) == {} and recent.stats()["bytes"] == 0


def test_what_was_read_before_a_change_is_not_kept_after_it() -> None:
    recent, old = RecentItems(ROOM), {7: StoredItem(7, "a", {}, b"")}
    recent.get(1, "t", "g", [7])
    recent.get(2, "t", "g", [7])  # somebody else has seen the change meanwhile
    recent.put(1, "t", "g", old)
    assert recent.get(2, "t", "g", [7]) == {} and recent.get(1, "t", "g", [7]) == {}


@pytest.mark.parametrize("text", ["x" * 40, "é漢😀" * 13, ""], ids=["latin", "wide", "none"])
@pytest.mark.parametrize("values", [0, 3, 60])
def test_an_item_takes_no_more_than_is_counted_for_it(tmp_path: Path, text: str, values: int) -> None:
    database = Database(tmp_path / "c.sqlite", [GENERATION])
    metadata = {f"{name}{text[:5]}": f"{name} {text}" for name in range(values)}
    plain, store = Store(database), Store(database, recent_bytes=10**8)
    plain.add("t", [new_item(f"item/{n}", **metadata) for n in range(300)])
    store.hydrate("t", range(1, 31))
    plain.hydrate("t", range(1, 31))
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for start in range(31, 301, 30):
        store.hydrate("t", range(start, start + 30))
    taken = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    counted = store.recent.stats()["bytes"]
    database.close()
    assert taken <= 0.9 * counted  # nine tenths of them were read meanwhile
    assert taken > 0.4 * counted, "and not far more is counted than they take"


def test_many_threads_see_each_change_that_was_there_when_they_asked(store) -> None:
    store.add("t", [new_item("a", n=0)])
    done, wrong = threading.Event(), []
    latest = [0]

    def look() -> None:
        while not done.is_set():
            at_least = latest[0]
            seen = store.hydrate("t", [1])[1].metadata["n"]
            if seen < at_least:
                wrong.append((seen, at_least))

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(1, 60):
        store.update_metadata("t", "a", {"n": number})
        latest[0] = number
    done.set()
    for thread in threads:
        thread.join()
    assert not wrong and store.recent.stats()["hits"] > 0


def test_asking_at_once_sees_what_was_just_committed_and_waits_for_nobody(store, tmp_path: Path) -> None:
    count = "SELECT count(*) FROM items WHERE tenant = ?"
    assert store.database.ask_now(count, ("t",)) == [(0,)]
    store.add("t", [new_item("a")])
    assert store.database.ask_now(count, ("t",)) == [(1,)]
    other = sqlite3.connect(tmp_path / "c.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert store.database.ask_now(count, ("t",)) == [(1,)], "a writer is in nobody's way"
    other.execute("ROLLBACK")
    other.close()


def test_a_locked_catalogue_is_not_waited_for_at_once(tmp_path: Path) -> None:
    database = Database(tmp_path / "c.sqlite", [GENERATION])
    database.close()
    other = sqlite3.connect(tmp_path / "c.sqlite", isolation_level=None)
    other.execute("PRAGMA locking_mode=EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    quick = database.backend._quick
    # The pool's own connection would wait ten seconds for the lock when it is opened: give it one that is open.
    quick._own = sqlite3.connect(tmp_path / "c.sqlite", timeout=0, check_same_thread=False)
    with pytest.raises(WouldWait):
        database.ask_now("SELECT count(*) FROM items")
    assert database.version() is None, "nobody can tell: items are read again"
    other.execute("ROLLBACK")
    other.close()
    assert database.ask_now("SELECT count(*) FROM items") == [(0,)]
    database.close()


def test_postgres_is_never_asked_at_once(postgres_url: str) -> None:
    database = Database(postgres_url, [GENERATION])
    with pytest.raises(WouldWait):
        database.ask_now("SELECT 1")
    assert database.version() is None
    store = Store(database, recent_bytes=ROOM)
    store.add("t", [new_item("a", n=1)])
    assert store.hydrate("t", [1])[1].metadata == store.hydrate("t", [1])[1].metadata == {"n": 1}
    assert store.recent.stats()["items"] == 0
    database.close()
