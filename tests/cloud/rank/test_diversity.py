"""Diversity is maximal marginal relevance as its paper defines it, and never costs the first match its place."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.candidates import context, found, likeness, pks

from sightline_cloud.rank.candidate import Candidate
from sightline_cloud.rank.diversity import Diversity


def by_the_paper(candidates: list[Candidate], k: int, weight: float) -> list[int]:
    """Carbonell and Goldstein 1998, section 2: argmax over R \\ S of w Sim1(D, Q) - (1 - w) max over S of Sim2(D, D')."""
    left, chosen = list(candidates), []
    while left and len(chosen) < k:
        gains = [
            weight * one.relevance - (1 - weight) * max((likeness(one, other) for other in chosen), default=0.0)
            for one in left
        ]
        chosen.append(left.pop(int(np.argmax(gains))))
    return pks(chosen)


@pytest.mark.parametrize("weight", [0.0, 0.3, 0.7, 0.9, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_the_order_is_that_of_the_papers_formula(weight: float, seed: int) -> None:
    candidates = found(24, seed=seed)
    ranked = Diversity(weight).apply(candidates, context(candidates, k=12))
    assert pks(ranked)[:12] == by_the_paper(candidates, 12, weight)


def test_after_the_k_chosen_come_the_others_in_their_order() -> None:
    candidates = found(20)
    ranked = pks(Diversity(0.3).apply(candidates, context(candidates, k=6)))
    assert sorted(ranked) == pks(candidates) and ranked[6:] == sorted(ranked[6:]) and ranked[:6] != pks(candidates)[:6]


def test_a_bonus_counts_as_relevance() -> None:
    candidates = found(12, scores=[0.9, *[0.8] * 11])
    liked = [*candidates[:7], candidates[7].with_bonus(0.05), *candidates[8:]]
    assert pks(Diversity(1.0).apply(liked, context(liked)))[:2] == [1, 8]


@given(st.integers(0, 12), st.floats(0, 1), st.integers(1, 15), st.integers(0, 50))
def test_all_are_kept_the_most_relevant_first_however_many_there_are(
    count: int, weight: float, k: int, seed: int
) -> None:
    candidates = found(count, seed=seed)
    ranked = pks(Diversity(weight).apply(candidates, context(candidates, k=k)))
    assert sorted(ranked) == pks(candidates) and ranked[:1] == pks(candidates)[:1]


def test_more_weight_on_diversity_gives_a_less_alike_answer() -> None:
    candidates = found(30, seed=3)

    def mean_likeness(weight: float) -> float:
        top = Diversity(weight).apply(candidates, context(candidates, k=8))[:8]
        return float(np.mean([likeness(a, b) for i, a in enumerate(top) for b in top[:i]]))

    assert mean_likeness(0.3) < mean_likeness(0.8) < mean_likeness(1.0)
