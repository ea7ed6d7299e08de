"""The device's answer cache: what counts as the same frame, and what ends an entry's life."""

import dataclasses

import numpy as np
import pytest

from sightline_edge.answer import Answer, Outcome
from sightline_edge.cache import ENTRY_BYTES, AnswerCache, Asked
from sightline_shared.errors import ConfigInvalid
from sightline_shared.where import Where

VERSIONS = {"bundle": "b 1", "index": "7"}
ONE = Asked(b"tenant", (b"code-one",), Where(), 10)
EMBEDDING = np.array([1, 0, 0], np.float32)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def answer(name: str = "r1", **fields) -> Answer:
    return Answer(Outcome.FOUND, "cloud", request_id=name, versions=fields.pop("versions", VERSIONS), **fields)


def turned(cosine: float) -> np.ndarray:
    return np.array([cosine, np.sqrt(1 - cosine**2), 0], np.float32)


def filled(**settings) -> AnswerCache:
    cache = AnswerCache(**settings)
    cache.keep(ONE, answer(), EMBEDDING, 0)
    return cache


def test_the_same_codes_find_what_was_said() -> None:
    found = filled().exact(ONE)
    assert found is not None and found.request_id == "r1"


@pytest.mark.parametrize(
    "other",
    [
        dataclasses.replace(ONE, scope=b"another tenant"),
        dataclasses.replace(ONE, codes=(b"code-two",)),
        dataclasses.replace(ONE, codes=(b"code-one", b"code-two")),
        dataclasses.replace(ONE, where=Where.of({"category": "milk"})),
        dataclasses.replace(ONE, k=11),
    ],
    ids=["scope", "code", "more codes", "filter", "k"],
)
def test_anything_else_does_not(other: Asked) -> None:
    cache = filled()
    assert cache.exact(other) is None
    if other.codes == ONE.codes:
        assert cache.near(other, EMBEDDING, 0) is None


def test_near_takes_both_the_hash_and_the_embedding() -> None:
    cache, other = filled(), dataclasses.replace(ONE, codes=(b"code-two",))
    assert cache.near(other, turned(0.995), 0b1111) is not None
    assert cache.near(other, turned(0.995), 0b11111) is None, "a frame that looks different"
    assert cache.near(other, turned(0.98), 0b1111) is None, "another thing in a like picture"
    assert filled(near_bits=-1).near(other, EMBEDDING, 0) is None


def test_of_several_near_ones_the_nearest_answers() -> None:
    cache = filled()
    cache.keep(dataclasses.replace(ONE, codes=(b"code-two",)), answer("r2"), turned(0.999), 0)
    found = cache.near(dataclasses.replace(ONE, codes=(b"code-3",)), turned(0.9985), 0)
    assert found is not None and found.request_id == "r2"


def test_answers_age() -> None:
    clock = Clock()
    cache = filled(keep_s=30, clock=clock)
    clock.now = 29.9
    assert cache.exact(ONE) and cache.near(ONE, EMBEDDING, 0)
    clock.now = 30.0
    assert cache.near(ONE, EMBEDDING, 0) is None and cache.exact(ONE) is None
    assert len(cache) == 0 and cache.size_bytes == 0


def test_a_newer_state_of_the_catalogue_drops_what_the_older_said() -> None:
    cache, foreign = filled(), dataclasses.replace(ONE, scope=b"another tenant")
    cache.keep(foreign, answer("f"), EMBEDDING, 0)
    cache.keep(
        dataclasses.replace(ONE, codes=(b"c2",)), answer("r2", versions={**VERSIONS, "index": "8"}), turned(0.1), 0
    )
    assert cache.exact(ONE) is None and cache.exact(foreign) is not None and len(cache) == 2


def test_what_must_not_be_kept_is_not() -> None:
    for bad in (
        answer(partial=True),
        dataclasses.replace(answer(), outcome=Outcome.RESTRICTED),
        dataclasses.replace(answer(), body_bytes_down=1 << 21),
    ):
        cache = AnswerCache()
        cache.keep(ONE, bad, EMBEDDING, 0)
        assert len(cache) == 0 and cache.size_bytes == 0


def test_bytes_are_bounded_and_the_least_recently_used_go_first() -> None:
    cache = AnswerCache(max_bytes=3 * (ENTRY_BYTES + 1000 + 8))
    asked = [dataclasses.replace(ONE, codes=(f"code-{n:03}".encode(),)) for n in range(100)]
    for number, one in enumerate(asked):
        cache.keep(one, answer(str(number), body_bytes_down=1000), turned(0.0), 0)
        assert cache.exact(asked[0]) is not None
        assert cache.size_bytes <= 3 * (ENTRY_BYTES + 1000 + 8) and len(cache) <= 3
    assert [one for one in asked if cache.exact(one)] == [asked[0], *asked[-2:]]
    cache.clear()
    assert len(cache) == 0 and cache.size_bytes == 0


def test_the_same_question_again_takes_the_place_of_the_first() -> None:
    cache = filled()
    before = cache.size_bytes
    cache.keep(ONE, answer("r2"), EMBEDDING, 0)
    found = cache.exact(ONE)
    assert found is not None and found.request_id == "r2" and (len(cache), cache.size_bytes) == (1, before)


@pytest.mark.parametrize("bad", [{"max_bytes": -1}, {"keep_s": -1.0}, {"near_bits": 65}, {"near_bits": -2}])
def test_impossible_bounds_are_named(bad) -> None:
    with pytest.raises(ConfigInvalid, match="expected"):
        AnswerCache(**bad)
