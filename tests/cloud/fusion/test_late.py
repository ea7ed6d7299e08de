"""The ranking stage "text": words and meaning among the candidates, and when it is left out."""

from collections.abc import Sequence

import pytest
from support.candidates import CODEC, context, found, pks
from support.tiny_tower import make_tiny_tower

from sightline_cloud.fusion.late import NO_TIME, UNREADABLE, WORDS_ONLY, Text
from sightline_cloud.fusion.tower import TextTower
from sightline_cloud.pressure import Level
from sightline_cloud.rank.build import build
from sightline_cloud.rank.candidate import Candidate
from sightline_cloud.rank.context import Context
from sightline_cloud.rank.duplicates import Duplicates
from sightline_cloud.rank.stages import TEXT_LEFT_OUT, TEXT_UNKNOWN, Ranking
from sightline_shared.budget import Budget
from sightline_shared.bundle import Bundle

TITLES = [{"title": title} for title in ("green milk", "milk without lactose", "scarlet juice", "juice")]
SCORES = (0.80, 0.79, 0.78, 0.77)


@pytest.fixture(scope="module")
def tower(tiny: Bundle, tmp_path_factory: pytest.TempPathFactory) -> TextTower:
    return TextTower(make_tiny_tower(tmp_path_factory.mktemp("towers") / "tower", tiny))


def items() -> list[Candidate]:
    return found(4, metadata=TITLES, scores=SCORES)


def titles(candidates: Sequence[Candidate]) -> list[str]:
    return [candidate.metadata["title"] for candidate in candidates]


def test_words_bring_the_item_that_has_them_first_and_leave_its_score() -> None:
    given = items()
    told = context(given, text="the one without lactose")
    ranked = Text().apply(given, told)
    assert titles(ranked)[0] == "milk without lactose"
    assert (ranked[0].score, ranked[0].bonus > 0) == (0.79, True)
    assert told.notes == [WORDS_ONLY]


def test_meaning_finds_what_shares_no_word(tower: TextTower) -> None:
    given = items()
    assert titles(Text().apply(given, context(given, text="red")))[0] == "green milk", "no item has this word"
    told = context(given, text="red")
    assert titles(Text(tower).apply(given, told))[0] == "scarlet juice" and told.notes == []


def test_what_is_far_closer_to_the_picture_stays_first() -> None:
    given = found(4, metadata=TITLES, scores=(0.95, 0.4, 0.4, 0.3))
    assert titles(Text().apply(given, context(given, text="without lactose")))[0] == "green milk"


def test_the_bonus_of_other_stages_stays_and_weights_are_bounds(tower: TextTower) -> None:
    given = [one.with_bonus(0.05) for one in items()]
    for text in ("milk", "without lactose", "red green milk juice", "zzz"):
        ranked = Text(tower, words=0.3, meaning=0.2).apply(given, context(given, text=text))
        assert all(0.05 <= one.bonus <= 0.55 + 1e-6 for one in ranked)


@pytest.mark.parametrize("text", ["!?", "\U0001f600", "\x00\u200b", "..."])
def test_a_text_without_a_word_changes_nothing_and_is_said(tower: TextTower, text: str) -> None:
    given = items()
    told = context(given, text=text)
    assert Text(tower).apply(given, told) == given and told.notes == [UNREADABLE]


def test_items_that_say_nothing_are_ranked_by_the_picture(tower: TextTower) -> None:
    given = found(4, metadata=[{}, {"title": 7}, {"title": ""}, {}], scores=SCORES)
    assert pks(Text(tower).apply(given, context(given, text="red milk"))) == pks(given)


def test_with_too_little_time_words_count_alone_for_all_items_alike(tower: TextTower) -> None:
    now = [0.0]

    def clock() -> float:
        now[0] += 0.004
        return now[0]

    given = found(30, metadata=[{"title": f"milk {number}"} for number in range(29)] + [{"title": "scarlet"}])
    told = context(given, text="red", budget=Budget(100, clock=clock))
    assert pks(Text(tower).apply(given, told)) == pks(given) and told.notes == [NO_TIME]


def test_without_a_text_the_stage_does_not_run_and_says_nothing(tower: TextTower) -> None:
    given = items()
    ranked = Ranking([Text(tower)]).run(given, context(given), Budget())
    assert (ranked.ran, ranked.skipped, ranked.notes, ranked.pictured) == ((), (), (), None)


def test_what_came_first_by_the_picture_is_remembered() -> None:
    given = items()
    ranked = Ranking([Text()]).run(given, context(given, text="without lactose"), Budget())
    assert ranked.pictured == given[0] and ranked.candidates[0].pk == given[1].pk
    assert ranked.ran == ("text",)


@pytest.mark.parametrize(("level", "left_ms"), [(Level.NO_EXTRAS, 1000), (Level.SHED, 1000), (Level.FULL, 1)])
def test_under_pressure_and_without_time_it_is_the_first_to_be_left_out(level: Level, left_ms: float) -> None:
    given = items()
    ranked = Ranking([Text()]).run(given, context(given, text="without lactose"), Budget(left_ms), level)
    assert pks(ranked.candidates) == pks(given)
    assert (ranked.skipped, ranked.notes, ranked.pictured) == (("text",), (TEXT_LEFT_OUT,), None)


def test_a_service_that_does_not_rank_by_text_says_so() -> None:
    given = items()
    ranked = Ranking([Duplicates()]).run(given, Context(given, 4, CODEC, text="without lactose"), Budget())
    assert TEXT_UNKNOWN in ranked.notes and pks(ranked.candidates)[0] == given[0].pk


def test_the_ranking_has_the_stage_where_its_name_stands() -> None:
    assert [stage.name for stage in build(text=Text()).stages] == ["text", "duplicates"]
    assert [stage.name for stage in build(("duplicates", "text"), text=Text()).stages] == ["duplicates", "text"]
    assert [stage.name for stage in build(("duplicates",), text=Text()).stages] == ["duplicates"]
