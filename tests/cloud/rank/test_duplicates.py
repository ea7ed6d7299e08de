"""Of several pictures of one item the best stays, and different items are never one."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.candidates import context, found, likeness, pks

from sightline_cloud.rank.candidate import Candidate
from sightline_cloud.rank.duplicates import Duplicates

ABOVE_ALL = 1.01


def collapsed(candidates: list[Candidate], min_cosine: float, key: str = "item_group") -> list[int]:
    return pks(Duplicates(min_cosine, key).apply(candidates, context(candidates)))


def by_the_rule(candidates: list[Candidate], min_cosine: float) -> list[int]:
    """Each in turn stays unless one that stayed is its like or of its group; two groups are never alike."""
    stayed: list[Candidate] = []
    for one in candidates:
        group = one.metadata.get("item_group")
        for better in stayed:
            other = better.metadata.get("item_group")
            differ = None not in (group, other) and group != other
            if (group is not None and group == other) or (not differ and likeness(one, better) >= min_cosine):
                break
        else:
            stayed.append(one)
    return pks(stayed)


@pytest.mark.parametrize("min_cosine", [0.5, 0.7, 0.85, 0.97])
@pytest.mark.parametrize("seed", range(4))
def test_what_stays_is_what_the_rule_says(min_cosine: float, seed: int) -> None:
    groups: list[dict[str, Any]] = [{"item_group": "ab"[i % 2]} if i % 3 == 0 else {} for i in range(30)]
    candidates = found(30, seed=seed, metadata=groups)
    assert collapsed(candidates, min_cosine) == by_the_rule(candidates, min_cosine)
    alone = found(30, seed=seed)
    assert collapsed(alone, min_cosine) == by_the_rule(alone, min_cosine)


def test_the_same_picture_twice_is_one_and_the_better_stays() -> None:
    candidates = found(6)
    twice = [*candidates, candidates[2]._replace(pk=99, score=candidates[-1].score - 0.1)]
    assert collapsed(twice, 0.97) == by_the_rule(candidates, 0.97)


def test_pictures_of_two_groups_are_never_one_however_alike() -> None:
    first, *_ = found(1, metadata=[{"item_group": "left shoe"}])
    other = first._replace(pk=2, metadata={"item_group": "right shoe"})
    unnamed = first._replace(pk=3, metadata={})
    assert collapsed([first, other, unnamed], 0.9) == [1, 2]


def test_one_that_is_like_a_dropped_one_only_stays() -> None:
    candidates = found(40, seed=1)
    chain = next(
        (a, b, c)
        for a in candidates
        for b in candidates[a.pk :]
        for c in candidates[b.pk :]
        if likeness(a, b) >= 0.6 and likeness(b, c) >= 0.6 and likeness(a, c) < 0.6
    )
    assert collapsed(list(chain), 0.6) == [chain[0].pk, chain[2].pk]


@pytest.mark.parametrize("nothing", [None, "", True, False, 1.5, float("nan")])
def test_what_is_no_string_or_whole_number_is_no_group(nothing: Any) -> None:
    candidates = found(4, metadata=[{"item_group": nothing}] * 4)
    assert collapsed(candidates, ABOVE_ALL) == [1, 2, 3, 4]


def test_groups_are_read_under_the_key_that_the_operator_names_and_with_none_not_at_all() -> None:
    candidates = found(3, metadata=[{"product": 7, "item_group": 1}, {"product": 7, "item_group": 2}, {"product": 8}])
    unnamed = found(2, metadata=[{"": 1}, {"": 1}])
    assert collapsed(candidates, ABOVE_ALL, "product") == [1, 3]
    assert collapsed(candidates, ABOVE_ALL, "") == [1, 2, 3] and collapsed(unnamed, ABOVE_ALL, "") == [1, 2]


def test_the_answer_says_how_many_of_its_k_best_were_collapsed() -> None:
    candidates = found(8, metadata=[{"item_group": "one"}] * 3 + [{}] * 4 + [{"item_group": "one"}])
    told = context(candidates, k=5)
    Duplicates(ABOVE_ALL).apply(candidates, told)
    assert told.notes == ["near-duplicates of better matches left out: 2"]
    silent = context(candidates[2:7], k=5)
    Duplicates(ABOVE_ALL).apply(candidates[2:7], silent)
    assert silent.notes == []


def test_items_without_a_code_are_like_none() -> None:
    candidates = [one._replace(code=code) for one, code in zip(found(3), (b"", b"", b"x"), strict=True)]
    assert collapsed(candidates, 0.5) == [1, 2, 3]


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)


@given(st.lists(SCALARS, max_size=12), st.floats(0, 1.1), st.integers(0, 20))
def test_any_metadata_leaves_the_order_alone_and_the_best_in_place(
    values: list[Any], min_cosine: float, seed: int
) -> None:
    candidates = found(len(values), seed=seed, metadata=[{"item_group": value} for value in values])
    stayed = collapsed(candidates, min_cosine)
    assert stayed == sorted(stayed) and stayed[:1] == pks(candidates)[:1]
