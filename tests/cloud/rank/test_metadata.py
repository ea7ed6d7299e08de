"""Soft signals move items within a bound: what is seen wins, whatever the metadata says."""

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.candidates import NOW_S, context, found, pks

from sightline_cloud.rank.candidate import Candidate
from sightline_cloud.rank.metadata import Metadata, Weights, freshness, number

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from([10**400, -(10**400), "2026-01-01", "9999-12-31T23:59:59+00:00", "0001-01-01", "1e309"])
)
METADATA = st.dictionaries(st.sampled_from(["stock", "price", "currency", "released", "category"]), SCALARS)
WEIGHTS = st.builds(
    Weights, *[st.floats(0, 0.2)] * 4, max_bonus=st.floats(0, 0.2)
)  # what the settings let an operator choose


def released(days_ago: float) -> str:
    return (datetime.fromtimestamp(NOW_S, UTC) - timedelta(days=days_ago)).isoformat()


def ranked(candidates: list[Candidate], weights: Weights, **given: Any) -> list[Candidate]:
    return list(Metadata(weights).apply(candidates, context(candidates, **given)))


@given(
    st.lists(st.tuples(st.floats(-1, 1), METADATA), max_size=12),
    WEIGHTS,
    st.sampled_from([0.0, 0.5, 1.0, math.nan, math.inf, -3.0]),
)
def test_an_item_nearer_by_more_than_the_bound_is_never_overtaken(
    items: list[tuple[float, dict[str, Any]]], weights: Weights, fits: float
) -> None:
    candidates = [
        Candidate(pk, str(pk), score, 0, metadata, b"") for pk, (score, metadata) in enumerate(items, start=1)
    ]
    out = ranked(candidates, weights, compatibility=lambda _: fits)
    assert sorted(pks(out)) == pks(candidates)
    assert all(0 <= one.bonus <= weights.max_bonus for one in out)
    for place, one in enumerate(out):
        assert all(other.score - one.score <= weights.max_bonus for other in out[place + 1 :])


def test_scores_stay_the_cosines_that_were_found() -> None:
    candidates = found(5, metadata=[{"stock": 3}] * 5)
    assert {(one.pk, one.score) for one in ranked(candidates, Weights(stock=0.04))} == {
        (one.pk, one.score) for one in candidates
    }


@pytest.mark.parametrize(
    ("weights", "loser", "winner"),
    [
        (Weights(stock=0.02), {"stock": 0}, {"stock": 2}),
        (Weights(stock=0.02), {}, {"stock": 0.5}),
        (Weights(freshness=0.02), {"released": released(90)}, {"released": released(1)}),
        (Weights(freshness=0.02), {"released": released(-9)}, {"released": released(9)}),  # one that is still to come
        (Weights(price=0.02), {"price": 30}, {"price": 20.0}),
        (Weights(price=0.02), {"price": -1}, {"price": 1000}),
        (Weights(category=0.02), {"category": "tea"}, {"category": "milk"}),
    ],
)
def test_each_signal_moves_one_of_two_equally_near_items_up(
    weights: Weights, loser: dict[str, Any], winner: dict[str, Any]
) -> None:
    candidates = found(2, scores=[0.8, 0.8], metadata=[loser, winner])
    fits = {"compatibility": lambda one: float(one.metadata.get("category") == "milk")}
    assert pks(ranked(candidates, weights, **fits)) == [2, 1]
    assert pks(ranked(candidates, Weights(), **fits)) == [1, 2]


def test_a_price_is_compared_within_its_currency() -> None:
    prices = [{"price": 100, "currency": "SEK"}, {"price": 10, "currency": "EUR"}, {"price": 50, "currency": "SEK"}]
    bonuses = {one.pk: one.bonus for one in ranked(found(3, metadata=prices), Weights(price=0.04))}
    assert bonuses == pytest.approx({1: 0.02, 2: 0.04, 3: 0.04})


def test_signals_add_up_to_the_bound_and_no_further() -> None:
    metadata = {"stock": 1, "price": 5, "released": released(0)}
    (one,) = ranked(found(1, metadata=[metadata]), Weights(stock=0.01, price=0.01, freshness=0.01))
    assert one.bonus == pytest.approx(0.03)
    (one,) = ranked(found(1, metadata=[metadata]), Weights(stock=0.08, price=0.08, freshness=0.08))
    assert one.bonus == 0.1


def test_freshness_is_halved_every_thirty_days() -> None:
    assert [freshness(released(days), NOW_S) for days in (0, 30, 60)] == pytest.approx([1, 0.5, 0.25])


@pytest.mark.parametrize("nothing", ["yesterday", "2026-99-99", "26 Nov 2026", 20260101, None, True, ""])
def test_what_is_no_date_is_not_fresh(nothing: Any) -> None:
    assert freshness(nothing, NOW_S) == 0


@pytest.mark.parametrize("nothing", ["12", True, None, math.nan, math.inf, -math.inf, 10**400])
def test_what_is_no_finite_number_counts_as_none(nothing: Any) -> None:
    assert number(nothing) == 0


def test_without_a_semantic_head_a_category_earns_nothing() -> None:
    candidates = found(3, metadata=[{"category": "milk"}] * 3)
    assert ranked(candidates, Weights(category=0.05)) == candidates


def test_items_of_equal_relevance_come_nearest_first_then_in_the_order_of_their_pks() -> None:
    near, *_ = found(1, scores=[0.5], metadata=[{}])
    far = near._replace(pk=2, score=0.25, metadata={"stock": 1})
    twin = near._replace(pk=7)
    assert pks(ranked([twin, far, near], Weights(stock=0.25, max_bonus=0.25))) == [1, 7, 2]
