"""The stages run in their order, timed, and those that cost something give way under pressure, visibly."""

from collections.abc import Sequence

import numpy as np
import pytest
from support.candidates import CODEC, context, found, likeness, pks

from sightline_cloud.pressure import Level
from sightline_cloud.rank.build import build
from sightline_cloud.rank.candidate import Candidate
from sightline_cloud.rank.context import Context
from sightline_cloud.rank.metadata import Weights
from sightline_cloud.rank.stages import Cost, Ranking
from sightline_shared.budget import Budget
from sightline_shared.errors import ConfigInvalid

ALL = build(("metadata", "duplicates", "videos", "diversity"), weights=Weights(stock=0.01))


class Last:
    """Drops the best: whatever stage comes next sees the second."""

    cost = Cost.METADATA

    def __init__(self, name: str) -> None:
        self.name = name

    def apply(self, candidates: Sequence[Candidate], context: Context) -> Sequence[Candidate]:
        context.notes.append(f"{self.name} saw {candidates[0].pk}")
        return candidates[1:]


def test_stages_run_in_the_order_given_each_timed_and_named() -> None:
    candidates, budget = found(6), Budget()
    ranked = Ranking([Last("b"), Last("a")]).run(candidates, context(candidates, k=2), budget)
    assert pks(ranked.candidates) == [3, 4]
    assert ranked.ran == ("b", "a") and ranked.skipped == () and ranked.notes == ("b saw 1", "a saw 2")
    assert list(budget.stages_ms) == ["rank.b", "rank.a"]


def test_without_stages_the_nearest_k_are_answered_equals_by_pk() -> None:
    candidates = found(5, scores=[0.9, 0.7, 0.7, 0.7, 0.2])
    ranked = Ranking([]).run(candidates[::-1], context(candidates, k=3), Budget())
    assert pks(ranked.candidates) == [1, 2, 3]


def test_the_same_candidates_in_any_order_give_the_same_answer() -> None:
    candidates = found(30, seed=2, metadata=[{"stock": i % 2, "video": i % 5} for i in range(30)])
    shuffled = [candidates[i] for i in np.random.default_rng(0).permutation(30)]
    answers = [ALL.run(given, context(given), Budget()).candidates for given in (candidates, shuffled)]
    assert answers[0] == answers[1] and len(answers[0]) == 10


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_candidates_are_answered_as_they_are(count: int) -> None:
    candidates = found(count)
    assert pks(ALL.run(candidates, context(candidates), Budget()).candidates) == pks(candidates)


def test_from_a_level_on_stages_that_need_vectors_are_left_out_and_said_to_be() -> None:
    candidates, budget = found(12, metadata=[{"video": "one"}] * 12), Budget()
    below = ALL.run(candidates, context(candidates), Budget(), Level.NO_EXTRAS)
    assert below.skipped == ()
    ranked = ALL.run(candidates, context(candidates), budget, Level.NO_DIVERSITY)
    assert ranked.skipped == ("duplicates", "diversity") and ranked.ran == ("metadata", "videos")
    assert set(budget.stages_ms) == {"rank.metadata", "rank.videos"} and len(ranked.candidates) == 3


def test_with_little_time_left_stages_that_need_vectors_are_left_out() -> None:
    now_s = [0.0]
    budget = Budget(100, clock=lambda: now_s[0])
    candidates = found(12)
    assert ALL.run(candidates, context(candidates), budget).skipped == ()
    now_s[0] = 0.098
    assert ALL.run(candidates, context(candidates), budget).skipped == ("duplicates", "diversity")


@pytest.mark.parametrize(("k", "hits"), [(1, 2), (10, 15), (20, 30), (50, 75)])
def test_half_as_many_again_are_fetched_for_stages_to_choose_from(k: int, hits: int) -> None:
    assert ALL.fetch(k) == hits
    assert ALL.fetch(k, Level.NO_DIVERSITY) == Ranking([]).fetch(k) == k


def test_likenesses_are_cosines_of_the_decoded_codes_also_of_some_of_the_candidates() -> None:
    candidates = found(9)
    shared = context(candidates)
    for some in (candidates, candidates[::-2]):
        wanted = [[likeness(a, b) for b in some] for a in some]
        assert np.allclose(shared.similarities(some), wanted, atol=1e-5)
    damaged = candidates[0]._replace(code=b"short")
    assert not context([damaged, candidates[1]]).similarities([damaged, candidates[1]])[0].any()


def test_codes_are_decoded_once_a_query_and_not_at_all_without_a_stage_that_needs_them(monkeypatch) -> None:
    decoded = []
    honest = type(CODEC).decode_rotated
    monkeypatch.setattr(type(CODEC), "decode_rotated", lambda self, codes: decoded.append(1) or honest(self, codes))
    candidates = found(12)
    build(("metadata", "videos"), weights=Weights(stock=0.01)).run(candidates, context(candidates), Budget())
    assert not decoded
    ALL.run(candidates, context(candidates), Budget())
    assert decoded == [1]


def test_the_settings_choose_stages_and_their_order() -> None:
    assert [stage.name for stage in build().stages] == ["duplicates"]
    named = build(("diversity", "metadata"), weights=Weights(price=0.01))
    assert [stage.name for stage in named.stages] == ["diversity", "metadata"]
    assert build(()).stages == ()


@pytest.mark.parametrize("names", [("rescore",), ("videos", "videos")])
def test_a_stage_that_there_is_not_or_twice_is_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(ConfigInvalid, match="rank_stages"):
        build(names)
