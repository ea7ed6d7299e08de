"""One film does not fill the answer."""

from typing import Any

import pytest
from support.candidates import context, found, pks

from sightline_cloud.rank.videos import Videos


def balanced(most: int, videos: list[Any]) -> list[int]:
    candidates = found(len(videos), metadata=[{"video": video} for video in videos])
    return pks(Videos(most).apply(candidates, context(candidates)))


def test_the_best_few_of_each_film_stay_in_their_places() -> None:
    assert balanced(2, ["a", "a", "b", "a", "b", "b", 3, 3, 3]) == [1, 2, 3, 5, 7, 8]


@pytest.mark.parametrize("nothing", [None, "", True, 1.5])
def test_items_of_no_film_all_stay(nothing: Any) -> None:
    assert balanced(1, [nothing] * 4) == [1, 2, 3, 4]


def test_nothing_found_stays_nothing() -> None:
    assert balanced(1, []) == []
