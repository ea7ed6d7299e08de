"""What a query costs and what a key may ask, recomputed the obvious way."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline_cloud.tenancy.limits import MAX_FILTER_VALUES, Limits, query_cost, read, stored
from sightline_shared.errors import ConfigInvalid, OverKeyLimit, StoreCorrupt
from sightline_shared.protocol import MAX_CODES, MAX_K, Query
from sightline_shared.where import Where


def query(codes: int = 1, k: int = 20, where: dict[str, object] | None = None) -> Query:
    return Query(
        b"pairing1", tuple(bytes([n]) * 64 for n in range(codes)), b"12345678", k=k, where=Where.of(where or {})
    )


@pytest.mark.parametrize(
    ("asked", "shards", "cost"),
    [
        (query(), 1, 2.0),
        (query(codes=16), 1, 17.0),
        (query(codes=16), 4, 65.0),
        (query(k=50), 1, 3.5),
        (query(where={"a": [1, 2, 3], "b": "x"}), 1, 2.5),
        (dataclasses.replace(query(), text="ü" * 32), 1, 4.0),
    ],
)
def test_the_cost_is_codes_times_shards_and_what_the_answer_and_the_filter_take(asked, shards, cost) -> None:
    assert query_cost(asked, shards) == pytest.approx(cost)


@given(st.integers(1, MAX_CODES), st.integers(1, MAX_K), st.integers(1, 64))
def test_more_of_anything_is_never_cheaper(codes: int, k: int, shards: int) -> None:
    cost = query_cost(query(codes, k), shards)
    assert cost > 0
    assert query_cost(query(min(MAX_CODES, codes + 1), k), shards) >= cost
    assert query_cost(query(codes, min(MAX_K, k + 1)), shards) >= cost
    assert query_cost(query(codes, k), shards + 1) > cost
    assert query_cost(query(codes, k, {"a": 1}), shards) > cost


@pytest.mark.parametrize(
    ("limits", "asked", "what"),
    [
        (Limits(max_k=5), query(k=6), "at most 5 matches a query, got 6"),
        (Limits(max_codes=2), query(codes=3), "at most 2 codes a query, got 3"),
        (
            Limits(max_filter_values=3),
            query(where={"a": [1, 2], "b": [1, 2]}),
            "at most 3 filter values a query, got 4",
        ),
        (Limits(max_filter_values=0), query(where={"a": 1}), "at most 0 filter values a query, got 1"),
    ],
)
def test_a_query_over_a_cap_is_named(limits: Limits, asked: Query, what: str) -> None:
    with pytest.raises(OverKeyLimit, match=f"key 'app': expected {what}"):
        limits.check(asked, "app")


def test_what_is_at_the_caps_passes() -> None:
    limits = Limits(max_k=5, max_codes=2, max_filter_values=2)
    limits.check(query(codes=2, k=5, where={"a": [1, 2]}), "app")
    Limits().check(query(codes=MAX_CODES, k=MAX_K), "app")
    assert Limits().max_filter_values == MAX_FILTER_VALUES


def test_a_keys_own_limits_stand_in_place_of_the_defaults_and_the_others_stay() -> None:
    assert Limits(per_second=7, burst=9).but({"burst": 3}) == Limits(per_second=7, burst=3)
    with pytest.raises(ConfigInvalid, match="expected some of per_second"):
        Limits().but({"bursts": 3})


def test_limits_come_back_as_they_were_stored() -> None:
    assert stored({}) is None and read(None) == {}
    assert read(stored({"per_second": 0.5, "max_k": 3})) == {"per_second": 0.5, "max_k": 3}
    for text in ("{", "null", "[1]", '{"max_k": null}', '"x"'):
        with pytest.raises(StoreCorrupt):
            read(text)
