"""The service over several shards: the same answers, partial ones when a shard is missing, none when too many are."""

import threading
from collections.abc import Callable, Iterator

import msgpack
import pytest
from support.asking import answer, post, query
from support.service import Service
from support.tiny_bundle import picture

from sightline_cloud.catalog.slots import slot_of
from sightline_cloud.shards import gather
from sightline_cloud.shards.placement import owners
from sightline_shared.errors import IndexFailed
from sightline_shared.protocol import Decision

SHARDS = 4
# At least one in each shard.
ITEMS = (0, 1, 3, 8, 16, 18)


def shard_of(number: int, shards: int = SHARDS) -> int:
    return int(owners(shards)[slot_of("default", f"item/{number}")])


def fill(service: Service) -> Service:
    for number in ITEMS:
        assert service.add(number).status_code == 200
    return service


@pytest.fixture
def sharded(start) -> Service:
    return fill(start(shards=SHARDS, min_shards=0.75, poll_seconds=60))


def fail(*asked: object) -> None:
    raise IndexFailed("secret detail of this machine.")


@pytest.fixture
def break_shard(sharded: Service, monkeypatch) -> Iterator[Callable[[int, str], None]]:
    """Makes a shard fail or hang; it hangs until the test has ended."""
    go_on = threading.Event()

    def hang(*asked: object) -> None:
        go_on.wait(30)
        raise IndexFailed("was let go.")

    def broken(shard: int, how: str) -> None:
        monkeypatch.setattr(sharded.engine.primary.indexes.shards[shard], "search", fail if how == "fails" else hang)

    yield broken
    go_on.set()


def ids(found) -> list[str]:
    return [match.id for match in found.matches]


def test_the_items_are_in_the_shards_that_own_their_slots(sharded) -> None:
    assert {shard_of(number) for number in ITEMS} == set(range(SHARDS)), "these items are in every shard"
    sizes = [shard.stats()["default"]["vectors"] for shard in sharded.engine.primary.indexes.shards]
    assert sizes == [sum(shard_of(number) == shard for number in ITEMS) for shard in range(SHARDS)]


def test_four_shards_answer_as_one_does(sharded, start) -> None:
    single = fill(start("single"))
    for numbers in ((3,), (77,), (1, 8, 3), (16, 77)):
        one, four = answer(single, query(single, *numbers)), answer(sharded, query(sharded, *numbers))
        assert ids(four) == ids(one) and four.decision is one.decision and not four.partial
        assert [match.score for match in four.matches] == pytest.approx([match.score for match in one.matches])
        assert (one.versions["shards"], four.versions["shards"]) == ("1/1", "4/4")


@pytest.mark.parametrize("how", ["fails", "hangs"])
def test_with_one_shard_missing_the_others_answer_and_the_answer_says_so(sharded, break_shard, how: str) -> None:
    missing, there = shard_of(3), next(n for n in ITEMS if shard_of(n) != shard_of(3))
    break_shard(missing, how)
    got = answer(sharded, query(sharded, there, k=50, deadline_ms=600))
    assert got.partial and got.versions["shards"] == "3/4"
    assert got.reasons[0] == (
        f"shard {missing} failed" if how == "fails" else f"shard {missing} was later than the deadline of 600 ms"
    )
    assert not any("secret" in reason for reason in got.reasons)
    assert got.decision is Decision.FOUND and got.matches[0].id == f"item/{there}"
    assert sorted(ids(got)) == sorted(f"item/{n}" for n in ITEMS if shard_of(n) != missing)


def test_an_item_in_a_missing_shard_is_never_said_not_to_be_there(sharded, break_shard) -> None:
    break_shard(shard_of(3), "fails")
    got = answer(sharded, query(sharded, 3))
    assert got.partial and got.decision is Decision.UNSURE and got.matches == ()


@pytest.mark.parametrize("how", ["fails", "hangs"])
def test_below_the_minimum_the_query_is_refused_and_the_log_says_why(sharded, break_shard, monkeypatch, how) -> None:
    logged = []
    monkeypatch.setattr(gather, "log", lambda event, **fields: logged.append((event, fields)))
    break_shard(0, how)
    break_shard(2, how)
    response = post(sharded, query(sharded, 3, deadline_ms=400))
    body = msgpack.unpackb(response.content)
    assert (response.status_code, body["code"]) == (503, "E_SHARDS_MISSING")
    assert "at least 3 of 4 shards, got 2" in body["message"] and "secret" not in body["message"]
    why = "IndexFailed: [E_INDEX_FAILED] secret detail of this machine." if how == "fails" else ""
    state = "failed" if how == "fails" else "late"
    assert logged == [("shard_missing", {"shard": shard, "state": state, "why": why}) for shard in (0, 2)]


def test_changes_reach_the_shard_that_they_concern_and_every_shard_knows_how_far_it_is(sharded) -> None:
    with sharded.http() as http:
        for number in ITEMS:
            assert http.delete(f"/v1/items/item/{number}").status_code == 200
            assert f"item/{number}" not in ids(answer(sharded, query(sharded, number, k=50)))
        assert http.get("/readyz").json() == {"ok": True, "index": 2 * len(ITEMS)}
    assert {shard.seq for shard in sharded.engine.primary.indexes.shards} == {2 * len(ITEMS)}


def test_a_shard_that_cannot_follow_holds_up_no_other_and_the_whole_is_as_far_as_the_last(sharded, monkeypatch) -> None:
    indexes, store = sharded.engine.primary.indexes, sharded.engine.store
    stuck, before = shard_of(3), indexes.seq
    with monkeypatch.context() as broken:
        broken.setattr(indexes.shards[stuck], "catch_up", fail)
        store.remove("default", [f"item/{number}" for number in ITEMS])
        with pytest.raises(IndexFailed, match="secret detail"):
            indexes.catch_up()
    assert (indexes.seq, store.position()) == (before, before + len(ITEMS))
    assert [shard.stats()["default"]["vectors"] for shard in indexes.shards] == [
        sum(shard_of(number) == shard for number in ITEMS) if shard == stuck else 0 for shard in range(SHARDS)
    ]
    indexes.catch_up()
    assert indexes.seq == store.position() and indexes.stats()["default"]["vectors"] == 0


@pytest.mark.parametrize("shards", [1, 3, 5])
def test_another_number_of_shards_finds_everything_and_leaves_no_old_files(sharded, start, tmp_path, shards) -> None:
    start.stop()
    folder = next((tmp_path / "data" / "index").iterdir())
    old = folder / f"0-of-{SHARDS}"
    old.mkdir(exist_ok=True)
    again = start(shards=shards)
    for number in ITEMS:
        assert answer(again, query(again, number)).matches[0].id == f"item/{number}"
    assert not old.exists()


def test_the_client_takes_a_partial_answer_for_what_it_is(sharded, break_shard) -> None:
    break_shard(shard_of(3), "fails")
    with sharded.client() as client:
        got = client.search(picture(3))
    assert got.partial and got.outcome.value == "unsure"
