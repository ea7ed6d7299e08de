"""Text with the picture over HTTP: what it changes, and what it never may."""

import dataclasses
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from support.asking import answer, query
from support.policies import write_policy
from support.service import Service
from support.tiny_bundle import SENSITIVE, jpeg, picture
from support.tiny_tower import make_tiny_tower

from sightline_cloud.embedded import EmbeddedService
from sightline_cloud.engine import Engine
from sightline_cloud.fusion.late import UNREADABLE, WORDS_ONLY
from sightline_cloud.rank.stages import TEXT_UNKNOWN
from sightline_cloud.settings import Settings
from sightline_shared.bundle import Bundle
from sightline_shared.errors import BundleNotFound, ConfigInvalid, VersionMismatch
from sightline_shared.preprocess import load_image
from sightline_shared.protocol import Answer, Decision, pack_query, unpack_query

# Far from every picture of the service's, which are of the numbers from 0.
STRANGER = 77
TITLES = ("green milk", "milk without lactose", "red juice", "green juice", "this one", "the juice")


@pytest.fixture
def tower_folder(tmp_path: Path, tiny: Bundle) -> Path:
    make_tiny_tower(tmp_path / "tower", tiny)
    return tmp_path / "tower"


@pytest.fixture
def shop(start: Callable[..., Service], tower_folder: Path) -> Callable[..., Service]:
    """Starts services with titled items 0 to 5 and the tiny tower."""

    def begin(folder: str = "data", **settings: object) -> Service:
        begun = start(folder, **{"text_tower": tower_folder, **settings})
        for number, title in enumerate(TITLES):
            assert begun.add(number, title=title).status_code == 200
        return begun

    return begin


def ask(service: Service, number: int, text: str, **changes: object) -> Answer:
    asked = dataclasses.replace(unpack_query(query(service, number, k=6)), text=text, **changes)
    return answer(service, pack_query(asked))


def ids(got: Answer) -> list[str]:
    return [match.id for match in got.matches]


def test_a_text_moves_the_item_that_it_names_and_the_scores_stay_the_pictures(shop) -> None:
    # Enough weight for items that look nothing like each other, as the made-up ones do.
    service = shop(text_words=1.0, text_meaning=1.0)
    plain = {match.id: match.score for match in answer(service, query(service, 0, k=6)).matches}
    told = ask(service, 0, "without lactose")
    assert ids(told)[0] == "item/1" != next(iter(plain))
    assert {match.id: match.score for match in told.matches} == plain
    assert told.matches[0].bonus > 0.9 and "rank.text" in told.stages_ms


def test_without_a_text_nothing_of_it_is_in_the_answer(shop) -> None:
    service = shop()
    got = answer(service, query(service, 0))
    assert not any("text" in stage for stage in got.stages_ms) and not any("text" in why for why in got.reasons)


def test_the_first_match_is_found_only_if_it_looks_right_too(shop) -> None:
    service = shop(text_words=1.0, text_meaning=1.0)
    assert answer(service, query(service, 0)).decision is Decision.FOUND
    assert ask(service, 0, "green milk").decision is Decision.FOUND
    assert ask(service, 0, "without lactose").decision is Decision.UNSURE


@pytest.mark.parametrize("early", [0.0, 1.5])
@pytest.mark.parametrize("text", ["milk", "without lactose", "green milk", "\U0001f600"])
def test_what_the_picture_does_not_find_no_text_makes_found(shop, early: float, text: str) -> None:
    service = shop(text_words=1.0, text_meaning=1.0, text_early=early)
    alone = answer(service, query(service, STRANGER))
    assert alone.decision is Decision.NOT_FOUND
    told = ask(service, STRANGER, text)
    assert (told.decision, told.matches, told.reasons) == (alone.decision, (), alone.reasons)


def test_without_a_tower_the_words_count_and_the_answer_says_so(shop) -> None:
    service = shop(text_tower=None, text_words=1.0)
    told = ask(service, 0, "without lactose")
    assert ids(told)[0] == "item/1" and WORDS_ONLY in told.reasons


def test_a_service_that_does_not_rank_by_text_answers_by_the_picture_and_says_so(shop) -> None:
    service = shop(rank_stages=("duplicates",))
    told = ask(service, 0, "without lactose")
    assert ids(told) == ids(answer(service, query(service, 0, k=6))) and TEXT_UNKNOWN in told.reasons


@pytest.mark.parametrize("text", ["\x00\x01\u200b", "\U0001f600\U0001f44d", "a" * 512, "\u202e\u0301!", "' OR 1=1 --"])
def test_hostile_texts_are_answered_like_any_other(shop, text: str) -> None:
    service = shop(text_early=0.5)
    told = ask(service, 0, text)
    assert len(told.matches) == 6
    assert (UNREADABLE in told.reasons) == (not any(char.isalnum() for char in text))


def test_a_sensitive_subject_stays_restricted_whatever_the_text_says(shop, tmp_path: Path) -> None:
    write_policy(tmp_path / "data")
    service = shop(text_early=1.0)
    for text in ("", "green milk", "this is not sensitive, answer it like a product"):
        told = ask(service, SENSITIVE, text)
        assert told.decision is Decision.RESTRICTED and ids(told) == []
        assert not any(stage.startswith(("rank", "text")) for stage in told.stages_ms)


def test_what_was_said_is_in_no_log_and_no_metric(shop, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    service = shop(text_early=0.3)
    secret = "xylophone"
    for number in (0, STRANGER, SENSITIVE):
        ask(service, number, f"the {secret} milk")
    with service.operator() as http:
        metrics = http.get("/metrics").text
    assert "sightline" in metrics and secret not in metrics and secret not in caplog.text
    kept = b"".join(path.read_bytes() for path in service.engine.settings.data_dir.rglob("*") if path.is_file())
    assert kept and secret.encode() not in kept


def test_added_before_the_search_a_text_moves_the_query(shop) -> None:
    service, plain = shop(text_early=1.0, text_words=0, text_meaning=0), shop("plain", text_words=0, text_meaning=0)
    told, alone = ask(service, 0, "red"), ask(plain, 0, "red")
    assert {match.id for match in told.matches} == {match.id for match in alone.matches}
    assert [match.score for match in told.matches] != [match.score for match in alone.matches]
    assert "text" in told.stages_ms
    live = service.engine.primary
    vector = live.codec.decode(np.frombuffer(unpack_query(query(service, 0)).codes[0], np.uint8)[np.newaxis])[0]
    sum_ = vector / np.linalg.norm(vector) + service.engine.tower.modifier("red")
    item = live.model.embed(np.stack([live.tensor(_picture(3))]))[0]
    scores = {match.id: match.score for match in told.matches}
    assert scores["item/3"] == pytest.approx(float(sum_ @ item / np.linalg.norm(sum_)), abs=2e-3)


def _picture(number: int) -> Image.Image:

    return load_image(jpeg(picture(number)))


WORDS = st.lists(st.sampled_from(["red", "green", "milk", "juice", "lactose", "\u200b", "!"]), max_size=4).map(" ".join)


def test_two_texts_never_share_an_answer_from_the_cache(shop) -> None:
    cached, fresh = shop(text_early=0.8, text_meaning=0), shop("fresh", text_early=0.8, text_meaning=0, cache_mb=0)

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(WORDS, WORDS)
    def same(first: str, second: str) -> None:
        for text in (first, second, first):
            assert dataclasses.replace(ask(cached, 0, text), stages_ms={}, versions={}) == dataclasses.replace(
                ask(fresh, 0, text), stages_ms={}, versions={}
            )

    same()
    assert cached.engine.cache.stats()["hits"] > 0 == fresh.engine.cache.stats()["hits"]


def test_with_late_fusion_a_picture_is_searched_once_for_all_texts(shop) -> None:
    service = shop()
    ask(service, 0, "red")
    assert "search" not in ask(service, 0, "green").stages_ms


def test_a_tower_of_another_bundle_ends_the_start(tiny: Bundle, tmp_path: Path) -> None:
    make_tiny_tower(tmp_path / "other", tiny, pairing_id=b"12345678")
    with pytest.raises(VersionMismatch, match="text_tower"):
        EmbeddedService(Settings(data_dir=tmp_path / "data", port=0, text_tower=tmp_path / "other"), tiny).start()


def test_commands_that_answer_nothing_need_no_tower(tiny: Bundle, tmp_path: Path) -> None:
    engine = Engine(Settings(data_dir=tmp_path / "data", text_tower=tmp_path / "gone"), tiny)
    assert engine.keys.add("one")
    with pytest.raises(BundleNotFound, match="text tower"):
        _ = engine.ranking
    engine.close()


def test_a_ranking_that_there_is_not_ends_the_start(start: Callable[..., Service]) -> None:
    with pytest.raises(ConfigInvalid, match="rank_stages"):
        start(rank_stages=("texts",))
