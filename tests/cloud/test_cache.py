"""The result cache: never old, never another's, never more than it may hold."""

import threading
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline_cloud.cache import Hit, Question, ResultCache
from sightline_shared.where import Where


def question(number: int = 0, tenant: str = "shop", **changed) -> Question:
    of = Question(tenant, b"pairing1", (number.to_bytes(64, "little"),), 20, Where())
    return of._replace(**changed)


def hits(number: int = 0, count: int = 20) -> tuple[Hit, ...]:
    return tuple(Hit(1_000_000 + 1000 * number + each, each / 7, 0) for each in range(count))


def test_a_question_that_was_answered_is_answered_again_with_the_same() -> None:
    cache = ResultCache(10**6)
    assert cache.get(question(), 1) is None
    cache.put(question(), 1, hits())
    assert cache.get(question(), 1) == hits()
    assert (cache.stats()["hits"], cache.stats()["misses"]) == (1, 1)


def test_nothing_found_is_kept_too() -> None:
    cache = ResultCache(10**6)
    cache.put(question(), 1, ())
    assert cache.get(question(), 1) == ()


@pytest.mark.parametrize(
    "other",
    [
        {"tenant": "shop-2"},
        {"generation": b"pairing2"},
        {"codes": (bytes([1] * 64),)},
        {"codes": (bytes(64), bytes(64))},
        {"k": 19},
        {"where": Where.of({"category": "milk"})},
    ],
    ids=lambda other: next(iter(other)),
)
def test_another_question_is_another_entry(other) -> None:
    cache = ResultCache(10**6)
    cache.put(question(), 1, hits())
    assert cache.get(question(**other), 1) is None
    assert cache.get(question(), 1) is not None


def test_a_filter_is_the_same_however_it_was_written_and_true_is_not_1() -> None:
    cache = ResultCache(10**6)
    cache.put(question(where=Where.of({"a": ["x", "y"], "b": 1})), 1, hits())
    assert cache.get(question(where=Where.of({"b": 1.0, "a": ["y", "x", "x"]})), 1)
    assert cache.get(question(where=Where.of({"a": ["x", "y"], "b": True})), 1) is None


def test_what_another_version_found_is_dropped_whichever_of_them_is_newer() -> None:
    cache = ResultCache(10**6)
    for stored, asked in ((1, 2), (2, 1)):
        cache.put(question(), stored, hits())
        assert cache.get(question(), asked) is None
        assert cache.stats()["entries"] == cache.stats()["bytes"] == 0
        assert cache.get(question(), stored) is None


def test_the_longest_unused_goes_first() -> None:
    cache = ResultCache(10**6, max_entries=3)
    for number in range(3):
        cache.put(question(number), 1, hits(number))
    assert cache.get(question(0), 1)
    cache.put(question(3), 1, hits(3))
    assert [bool(cache.get(question(number), 1)) for number in range(4)] == [True, False, True, True]
    assert cache.stats()["evictions"] == 1


def test_what_is_larger_than_the_cache_is_not_kept_and_evicts_nothing() -> None:
    cache = ResultCache(10_000)
    cache.put(question(0), 1, hits())
    cache.put(question(1), 1, hits(count=1000))
    assert cache.get(question(0), 1) and cache.get(question(1), 1) is None


def test_a_cache_of_no_bytes_keeps_nothing() -> None:
    cache = ResultCache(0)
    cache.put(question(), 1, ())
    assert cache.get(question(), 1) is None


def test_to_forget_a_tenant_leaves_the_others() -> None:
    cache = ResultCache(10**6)
    for number in range(5):
        cache.put(question(number), 1, hits())
        cache.put(question(number, "shop-2"), 1, hits())
    assert cache.forget("shop") == 5 and cache.forget("shop") == 0
    assert not any(cache.get(question(number), 1) for number in range(5))
    assert all(cache.get(question(number, "shop-2"), 1) for number in range(5))


@pytest.mark.parametrize("shape", ["usual", "nothing found", "most", "filtered"])
def test_it_takes_no_more_memory_than_it_counts(shape: str) -> None:
    rng = np.random.default_rng(0)

    def one(number: int) -> tuple[Question, tuple[Hit, ...]]:
        codes = tuple(rng.bytes(64) for _ in range(16 if shape == "most" else 1))
        where = Where.of({"category": f"kind {number}", "price": number + 0.5}) if shape == "filtered" else Where()
        count = {"nothing found": 0, "most": 50}.get(shape, 20)
        return Question(f"shop {number % 3}", rng.bytes(8), codes, 1000, where), hits(number, count)

    cache = ResultCache(10**8)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for number in range(500):
        asked, found = one(number)
        cache.put(asked, (number + 10**6,), found)
    taken = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert 0.4 * cache.stats()["bytes"] < taken <= cache.stats()["bytes"]


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["get", "put", "change", "forget"]),
        st.integers(0, 5),
        st.sampled_from(["shop", "shop-2"]),
        st.integers(0, 30),
    ),
    max_size=80,
)


@settings(deadline=None)
@given(STEPS)
def test_it_only_ever_gives_what_the_present_version_found_and_stays_within_its_bounds(steps) -> None:
    cache = ResultCache(15_000, max_entries=6)
    version = {"shop": 0, "shop-2": 0}
    truth: dict[Question, tuple[int, tuple[Hit, ...]]] = {}
    for step, number, tenant, count in steps:
        asked = question(number, tenant)
        if step == "put":
            truth[asked] = (version[tenant], hits(number, count))
            cache.put(asked, *truth[asked])
        elif step == "change":
            version[tenant] += 1
        elif step == "forget":
            cache.forget(tenant)
            truth = {each: found for each, found in truth.items() if each.tenant != tenant}
        elif (found := cache.get(asked, version[tenant])) is not None:
            assert truth[asked] == (version[tenant], found)
        stats = cache.stats()
        assert 0 <= stats["bytes"] <= 15_000 and stats["entries"] <= 6
        assert (stats["bytes"] == 0) == (stats["entries"] == 0)


def test_many_threads_at_once_leave_it_consistent() -> None:
    cache = ResultCache(60_000, max_entries=12)
    wrong: list[str] = []

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for number in rng.integers(0, 30, 2000).tolist():
            version = int(rng.integers(0, 3))
            found = cache.get(question(number), version)
            if found is not None and found != hits(number * 3 + version, 3):
                wrong.append(f"question {number} at {version}: {found}")
            cache.put(question(number), version, hits(number * 3 + version, 3))
            if number == 0:
                cache.forget("shop")

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong
    cache.forget("shop")
    assert cache.stats()["bytes"] == cache.stats()["entries"] == 0
