"""Harvesting is noticed, ordinary use is not, and what is kept of a key is bounded."""

import random

import pytest

from sightline_cloud.tenancy import watch as module
from sightline_cloud.tenancy.auth import Caller
from sightline_cloud.tenancy.watch import MAX_KEYS, WINDOW_SECONDS, Watch

APP, OTHER = Caller("shop", "app", frozenset({"search"})), Caller("other", "app", frozenset({"search"}))


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    lines: list[dict[str, object]] = []
    monkeypatch.setattr(module, "log", lambda event, **fields: lines.append({"event": event, **fields}))
    return lines


def harvest(watch: Watch, clock: Clock, queries: int, *, first: int = 0, seconds: float = 0.1) -> None:
    """Twenty items a query, none of them twice."""
    for number in range(first, first + queries):
        clock.now += seconds
        watch.saw(APP, [f"item/{20 * number + n}" for n in range(20)])


def test_a_key_that_walks_through_the_catalogue_is_suspected_once_a_window(told) -> None:
    clock = Clock()
    watch = Watch(items=5000, clock=clock)
    harvest(watch, clock, 240)
    assert told == []
    harvest(watch, clock, 400, first=240)
    (line,) = told
    assert (line["event"], line["tenant"], line["key"]) == ("scraping_suspected", "shop", "app")
    assert line["items"] == pytest.approx(5000, rel=0.02) and line["novel_share"] == 1
    clock.now += WINDOW_SECONDS
    harvest(watch, clock, 400, first=5000)
    assert len(told) == 2 and watch.stats("shop")["suspected"] == 2


def test_many_people_who_want_the_same_things_are_not_suspected(told) -> None:
    clock, rng = Clock(), random.Random(0)
    watch = Watch(items=1000, clock=clock)
    for _ in range(20_000):
        clock.now += 0.02
        start = int(rng.paretovariate(0.8)) % 50_000  # few things are asked for much, many a little
        watch.saw(APP, [f"item/{start + n}" for n in range(20)])
    assert told == [] and watch.stats("shop")["keys"]["app"]["items"] > 1000


def test_codes_made_up_at_random_are_suspected(told) -> None:
    clock, rng = Clock(), random.Random(0)
    watch = Watch(clock=clock)
    for _ in range(199):
        watch.saw(APP, [], answered=rng.random() < 0.05)
    assert told == [], "too few to say"
    for _ in range(200):
        watch.saw(APP, [], answered=rng.random() < 0.05)
    assert told[0]["unanswered_share"] > 0.9 and told[0]["items"] == 0


def test_slow_reading_through_the_same_catalogue_stays_under_the_threshold(told) -> None:
    clock = Clock()
    watch = Watch(items=5000, clock=clock)
    harvest(watch, clock, 2000, seconds=4)  # 3,000 items in ten minutes
    assert told == []
    assert watch.stats("shop")["keys"]["app"]["items"] <= 3100, "what is older than the window does not count"


@pytest.mark.parametrize("count", [100, 3000, 20_000])
def test_different_items_are_counted_to_two_per_cent(count: int, told) -> None:
    watch = Watch(clock=Clock())
    for number in range(0, count, 20):
        watch.saw(APP, [f"sku-{number + n}" for n in range(20)])
        watch.saw(APP, [f"sku-{number + n}" for n in range(20)])
    found = watch.stats("shop")["keys"]["app"]
    assert found["items"] == pytest.approx(count, rel=0.02)
    assert found["novel_share"] == pytest.approx(0.5, abs=0.1)


def test_a_tenant_sees_its_own_keys_only(told) -> None:
    watch = Watch(clock=Clock())
    watch.saw(APP, ["a"])
    watch.saw(OTHER, ["a", "b"])
    assert watch.stats("shop")["keys"]["app"]["items"] == 1 and watch.stats("other")["keys"]["app"]["items"] == 2
    assert watch.stats("nobody") == {"suspected": 0, "keys": {}}


def test_any_number_of_keys_takes_bounded_memory(told) -> None:
    watch = Watch(clock=Clock())
    for number in range(MAX_KEYS + 100):
        watch.saw(Caller("shop", f"key{number}", frozenset()), ["a"])
    assert len(watch.stats("shop")["keys"]) == MAX_KEYS
