"""Shards that lie, fail or hang, behind the real service over HTTP: they cost recall, never an error, and never show what is
another tenant's. With too many of them the documented refusal comes, and nothing else."""

from collections.abc import Callable, Iterator
from typing import Any

import msgpack
import numpy as np
import pytest
from support.asking import answer, post, query
from support.faulty_shards import Fault, FaultyShards
from support.service import Service, post_item
from support.tiny_bundle import jpeg, picture

from sightline_cloud.catalog.slots import slot_of
from sightline_cloud.embedded import EmbeddedService
from sightline_cloud.settings import Settings
from sightline_cloud.shards.gather import Gather
from sightline_cloud.shards.placement import owners
from sightline_cloud.shards.pool import Found
from sightline_edge import Device
from sightline_shared.errors import FilterInvalid, IndexFailed, ServiceBusy
from sightline_shared.protocol import Decision
from sightline_shared.where import Where

SHARDS, LIAR = 4, 1
# At least one in each shard.
NUMBERS = (0, 1, 2, 3, 4, 5, 8, 16, 18)
THEIRS = range(100, 106)


def shard_of(number: int) -> int:
    return int(owners(SHARDS)[slot_of("default", f"item/{number}")])


HONEST = [number for number in NUMBERS if shard_of(number) != LIAR]


def raising(error: BaseException) -> Fault:
    def fault(found: Found) -> Found:
        raise error

    return fault


def cosines(change: Callable[[np.ndarray], Any]) -> Fault:
    return lambda found: Found(change(found.cosines.copy()), found.pks)


def pks(change: Callable[[np.ndarray], Any]) -> Fault:
    return lambda found: Found(found.cosines, change(found.pks.copy()))


def first_cosine(value: float) -> Fault:
    def change(held: np.ndarray) -> np.ndarray:
        held[:, 0] = value
        return held

    return cosines(change)


def full_of(pk: Callable[[int, int], int], cosine: float = 1.0) -> Fault:
    """Says that it has found items with these pks, and all of them perfect."""

    def fault(found: Found) -> Found:
        rows, k = found.pks.shape
        named = np.array([[pk(row, place) for place in range(k)] for row in range(rows)], np.int64)
        return Found(np.full((rows, k), cosine, np.float32), named)

    return fault


# What is no answer at all: the shard counts as missing.
NO_ANSWER: dict[str, Fault] = {
    "NaN": first_cosine(np.nan),
    "all NaN": cosines(lambda held: np.full_like(held, np.nan)),
    "inf": first_cosine(np.inf),
    "-inf with an item": first_cosine(-np.inf),
    "a cosine of 1.5": first_cosine(1.5),
    "a cosine of -3": first_cosine(-3.0),
    "a cosine where there is no item": cosines(lambda held: np.where(np.isneginf(held), np.float32(0.5), held)),
    "a negative pk": pks(lambda held: held - 10),
    "too few columns": cosines(lambda held: held[:, :-1]),
    "too few pks": pks(lambda held: held[:, :-1]),
    "too many columns": lambda found: Found(np.hstack([found.cosines] * 2), np.hstack([found.pks] * 2)),
    "too many rows": lambda found: Found(np.vstack([found.cosines] * 40), np.vstack([found.pks] * 40)),
    "no rows": lambda found: Found(found.cosines[:0], found.pks[:0]),
    "one dimension": lambda found: Found(found.cosines.ravel(), found.pks.ravel()),
    "three dimensions": lambda found: Found(found.cosines[None], found.pks[None]),
    "float64": cosines(lambda held: held.astype(np.float64)),
    "int32 pks": pks(lambda held: held.astype(np.int32)),
    "text": cosines(lambda held: held.astype(str)),
    "objects": pks(lambda held: held.astype(object)),
    "lists": lambda found: Found(found.cosines.tolist(), found.pks.tolist()),  # type: ignore[arg-type]
    "a tuple": lambda found: (found.cosines, found.pks),  # type: ignore[arg-type,return-value]
    "nothing": lambda found: None,  # type: ignore[arg-type,return-value]
    "IndexFailed": raising(IndexFailed("secret detail of this machine.")),
    "a query's error": raising(FilterInvalid("secret detail of this machine.")),
    "busy": raising(ServiceBusy("secret detail of this machine.")),
    "OSError": raising(OSError(5, "secret detail of this machine.")),
    "MemoryError": raising(MemoryError()),
    "KeyError": raising(KeyError("secret detail of this machine.")),
    "StopIteration": raising(StopIteration()),
    "hangs": None,
}
# What can only be held against the catalogue: answers of the right form about items that are not there, or not the caller's.
FALSE: dict[str, Callable[["Mall"], Fault]] = {
    "items that never were": lambda mall: full_of(lambda row, place: 10**9 + 100 * row + place),
    "the largest pk": lambda mall: full_of(lambda row, place: 2**63 - 1 - place),
    "another tenant's items": lambda mall: full_of(lambda row, place: mall.theirs[place % len(mall.theirs)]),
    "one item of another tenant": lambda mall: full_of(lambda row, place: mall.theirs[0]),
    "items of before": lambda mall: full_of(lambda row, place: mall.removed[place % len(mall.removed)]),
}


class Mall:
    """A service over four shards with two tenants, and what the liar needs to know."""

    def __init__(self, service: Service) -> None:
        self.service = service
        other = service.new_key("other", "another")
        for number in NUMBERS:
            assert service.add(number, title=f"Item {number}").status_code == 200
        with service.http(other) as http:
            for number in THEIRS:
                assert post_item(http, f"their/{number}", jpeg(picture(number)), {"title": "secret"}).status_code == 200
        with service.http() as http:
            for number in (50, 51, 52):
                assert service.add(number).status_code == 200
            self.removed = self.pks("default", [f"item/{number}" for number in (50, 51, 52)])
            for number in (50, 51, 52):
                assert http.delete(f"/v1/items/item/{number}").status_code == 200
        self.theirs = self.pks("another")
        self.indexes = service.engine.primary.indexes
        self.pool = FaultyShards(self.indexes._pool)

    def pks(self, tenant: str, ids: list[str] | None = None) -> list[int]:
        rows = self.service.engine.database.ask("SELECT pk, id FROM items WHERE tenant = ? ORDER BY pk", (tenant,))
        return [pk for pk, item_id in rows if ids is None or item_id in ids]

    def lie(self, fault: Fault, *shards: int, at_least: float = 0.5) -> None:
        """Have these shards lie from now on, and no answers of before be remembered."""
        self.pool.faults = dict.fromkeys(shards, fault)
        self.indexes.gather = Gather(self.pool, min_share=at_least)
        self.service.engine.cache.forget("default")

    def ask(self, *numbers: int, deadline_ms: int = 5000, **changes: Any):
        return answer(self.service, query(self.service, *numbers, k=12, deadline_ms=deadline_ms, **changes))


@pytest.fixture(scope="module")
def mall(tiny, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mall]:
    folder = tmp_path_factory.mktemp("lying")
    chosen = Settings(data_dir=folder, port=0, shards=SHARDS, min_shards=0.5, poll_seconds=60, degrade_at_most=0)
    with EmbeddedService(chosen, tiny) as running:
        key = running.engine.keys.add("own")
        yield Mall(Service(running.url, running.engine, Device.load(tiny), key, running.admin_url))


def looks_right(got: Any, *asked: int) -> None:
    """The honest shards' items are there, nothing of the other tenant is, and nothing that a liar said of a score."""
    ids = [match.id for match in got.matches]
    assert all(each.startswith("item/") for each in ids) and len(set(ids)) == len(ids)
    assert {f"item/{number}" for number in HONEST} <= set(ids)
    assert {f"item/{number}" for number in asked} == set(ids[: len(asked)]) and got.decision is Decision.FOUND
    scores = [match.score for match in got.matches]
    assert all(-1 <= score <= 1 for score in scores) and b"secret" not in repr(got).encode()


@pytest.mark.parametrize("name", NO_ANSWER)
def test_a_shard_that_gives_no_usable_answer_is_missing_and_the_others_answer(mall: Mall, name: str) -> None:
    mall.lie(NO_ANSWER[name], LIAR)
    late = NO_ANSWER[name] is None
    for numbers in (HONEST[:1], HONEST[:3]):
        got = mall.ask(*numbers, deadline_ms=400 if late else 5000)
        looks_right(got, *numbers)
        assert got.partial and got.versions["shards"] == "3/4"
        assert got.reasons[0].startswith(f"shard {LIAR} {'was later' if late else 'failed'}")
        assert {match.id for match in got.matches} == {f"item/{number}" for number in HONEST}


@pytest.mark.parametrize("name", FALSE)
def test_a_shard_that_names_items_which_are_not_the_callers_hides_none_of_the_others(mall: Mall, name: str) -> None:
    mall.lie(FALSE[name](mall), LIAR)
    for _ in range(2):  # the second time the cache would have it
        for numbers in (HONEST[:1], HONEST[:3]):
            got = mall.ask(*numbers)
            looks_right(got, *numbers)
            assert {match.id for match in got.matches} == {f"item/{number}" for number in HONEST}


@pytest.mark.parametrize("name", ["items that never were", "another tenant's items"])
def test_the_cache_keeps_nothing_that_a_liar_said(mall: Mall, name: str) -> None:
    mall.lie(FALSE[name](mall), LIAR)
    mall.ask(HONEST[0])
    assert mall.service.engine.cache.stats("default")["entries"] == 0
    mall.lie(None)
    assert {match.id for match in mall.ask(HONEST[0]).matches} == {f"item/{number}" for number in NUMBERS}


@pytest.mark.parametrize("name", [name for name in NO_ANSWER if name != "a query's error"])
def test_with_every_shard_lying_the_query_is_refused_and_nothing_of_it_is_told(mall: Mall, name: str) -> None:
    mall.lie(NO_ANSWER[name], *range(SHARDS))
    deadline_ms = 300 if NO_ANSWER[name] is None else 5000
    response = post(mall.service, query(mall.service, 1, deadline_ms=deadline_ms))
    body = msgpack.unpackb(response.content)
    assert (response.status_code, body["code"]) == (503, "E_SHARDS_MISSING")
    assert "at least 2 of 4 shards, got 0" in body["message"] and "secret" not in str(body)


@pytest.mark.parametrize("name", FALSE)
def test_with_every_shard_naming_what_is_not_the_callers_nothing_is_answered(mall: Mall, name: str) -> None:
    mall.lie(FALSE[name](mall), *range(SHARDS))
    got = mall.ask(1)
    assert got.matches == () and got.decision is Decision.NOT_FOUND


def test_a_filter_that_is_wrong_is_the_callers_fault_whatever_one_shard_does(mall: Mall) -> None:
    mall.lie(NO_ANSWER["NaN"], LIAR)
    response = post(mall.service, query(mall.service, 1, where=Where.of({"price": 3})))
    assert response.status_code == 400 and msgpack.unpackb(response.content)["code"] == "E_FILTER_INVALID"


def test_below_the_minimum_one_liar_is_too_many(mall: Mall) -> None:
    mall.lie(NO_ANSWER["inf"], LIAR, at_least=1)
    assert post(mall.service, query(mall.service, 1)).status_code == 503
    mall.lie(None, at_least=1)
    looks_right(mall.ask(HONEST[0]), HONEST[0])


@pytest.mark.parametrize(
    ("name", "alone"),
    [
        ("NaN", "E_INDEX_FAILED"),
        ("inf", "E_INDEX_FAILED"),
        ("too few columns", "E_INDEX_FAILED"),
        ("nothing", "E_INDEX_FAILED"),
        ("IndexFailed", "E_INDEX_FAILED"),
        ("OSError", "E_SERVICE_FAILED"),
    ],
)
@pytest.mark.parametrize("shards", [1, 2])
def test_where_all_are_needed_a_liar_is_an_error_of_ours(
    start, monkeypatch, name: str, alone: str, shards: int
) -> None:
    service = start(shards=shards, min_shards=1.0)
    service.add(1)
    indexes = service.engine.primary.indexes
    pool = FaultyShards(indexes._pool)
    pool.faults = {0: NO_ANSWER[name]}
    monkeypatch.setattr(indexes, "gather", Gather(pool, min_share=1.0))
    body = msgpack.unpackb(post(service, query(service, 1)).content)
    assert body["code"] == (alone if shards == 1 else "E_SHARDS_MISSING")
    assert shards == 1 or "secret" not in str(body)


def test_the_items_are_in_every_shard() -> None:
    assert {shard_of(number) for number in NUMBERS} == set(range(SHARDS))
