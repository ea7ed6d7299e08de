"""Answers from the cache: the same as without it, never after a change, never somebody else's."""

import dataclasses
import threading
import time

import pytest
from support.asking import answer, query
from support.service import Service, post_item
from support.tiny_bundle import jpeg, picture

from sightline_cloud.cache import Hit
from sightline_cloud.nearest import decoded, nearest
from sightline_cloud.shards.pool import Ask
from sightline_shared.budget import Budget
from sightline_shared.protocol import unpack_query
from sightline_shared.where import Where


def plain(got):
    """An answer without what it took."""
    return dataclasses.replace(got, stages_ms={})


def ids(got) -> list[str]:
    return [match.id for match in got.matches]


def hits(service: Service) -> int:
    return service.engine.cache.stats()["hits"]


@pytest.mark.parametrize("numbers", [(4,), (77,), (1, 2, 77)])
def test_a_hit_is_identical_to_a_miss_and_searches_nothing(service, numbers) -> None:
    first, second = (answer(service, query(service, *numbers)) for _ in range(2))
    assert plain(second) == plain(first)
    assert hits(service) == 1
    assert "search" in first.stages_ms and "search" not in second.stages_ms


def test_k_and_filter_are_part_of_the_question(service) -> None:
    assert len(answer(service, query(service, 4, k=20)).matches) == 10
    assert len(answer(service, query(service, 4, k=3)).matches) == 3
    assert answer(service, query(service, 4, where=Where.of({"category": "none"}))).matches == ()
    assert hits(service) == 0


def test_a_removed_item_never_answers_from_the_cache(service) -> None:
    assert ids(answer(service, query(service, 4)))[0] == "item/4"
    with service.http() as http:
        http.delete("/v1/items/item/4")
    again = answer(service, query(service, 4))
    assert "item/4" not in ids(again) and len(again.matches) in (0, 5), "its place is taken by the next one"
    assert hits(service) == 0


def test_an_item_removed_by_another_process_never_answers_even_before_the_indexes_know(start) -> None:
    service = start(poll_seconds=60)
    for number in range(5):
        service.add(number)
    assert ids(answer(service, query(service, 3)))[0] == "item/3"
    service.engine.store.remove("default", ["item/3"])
    assert "item/3" not in ids(answer(service, query(service, 3)))
    assert hits(service) == 1, "this came out of the cache"


def test_an_added_item_answers_at_once_where_the_cache_had_an_answer_without_it(service) -> None:
    assert "item/60" not in ids(answer(service, query(service, 60)))
    service.add(60)
    assert ids(answer(service, query(service, 60)))[0] == "item/60"


def test_changed_metadata_is_what_a_cached_question_answers_with(service) -> None:
    answer(service, query(service, 4))
    service.engine.store.update_metadata("default", "item/4", {"title": "New", "category": "milk"})
    assert answer(service, query(service, 4)).matches[0].metadata["title"] == "New"


def test_no_tenant_gets_anothers_answer_and_a_tenants_changes_leave_the_others_entries(service) -> None:
    other = service.new_key("other", "shop-2")
    assert ids(answer(service, query(service, 4)))[0] == "item/4"
    assert answer(service, query(service, 4), other).matches == ()
    service.add(50, other)
    assert ids(answer(service, query(service, 50), other)) == ["item/50"]
    assert hits(service) == 0
    assert ids(answer(service, query(service, 4)))[0] == "item/4"
    assert hits(service) == 1, "the other tenant's addition changed nothing here"


def test_a_partial_answer_is_not_kept(service, monkeypatch) -> None:
    shard = service.engine.primary.indexes.shards[0]
    honest = shard.search

    def slow(*asked):
        time.sleep(0.05)
        return honest(*asked)

    monkeypatch.setattr(shard, "search", slow)
    assert answer(service, query(service, *[4] * 16, deadline_ms=300)).partial
    monkeypatch.undo()
    assert not answer(service, query(service, *[4] * 16)).partial
    assert hits(service) == 0


def test_the_cache_can_be_switched_off(start) -> None:
    service = start(cache_mb=0)
    service.add(1)
    for _ in range(2):
        assert ids(answer(service, query(service, 1))) == ["item/1"]
    assert service.engine.cache.stats() == {"entries": 0, "bytes": 0, "hits": 0, "misses": 2, "evictions": 0}


def test_a_replaced_item_is_not_found_under_its_old_photograph(service) -> None:
    assert ids(answer(service, query(service, 3)))[0] == "item/3"
    with service.http() as http:
        post_item(http, "item/3", jpeg(picture(60)), {})
    assert "item/3" not in [match.id for match in answer(service, query(service, 3)).matches if match.score > 0.9]


def test_while_many_ask_the_same_each_change_is_seen_by_whoever_asks_after_it(service) -> None:
    engine, live = service.engine, service.engine.primary
    asked = unpack_query(query(service, 60, k=3))
    vectors = decoded(asked, live)
    stop, failed = threading.Event(), []

    def hits_now() -> tuple[Hit, ...]:
        return nearest(asked, Ask("default", vectors, 3, asked.where, Budget(60_000)), engine, live).hits

    def ask_on() -> None:
        while not stop.is_set():
            found = hits_now()
            if len(found) != 3:
                failed.append(found)

    askers = [threading.Thread(target=ask_on) for _ in range(3)]
    for thread in askers:
        thread.start()
    try:
        for _ in range(25):
            engine.ingest.add_one("default", "item/60", jpeg(picture(60)), {})
            engine.catch_up()
            first = hits_now()[0]
            assert engine.store.hydrate("default", [first.pk], live.key)[first.pk].id == "item/60"
            engine.store.remove("default", ["item/60"])
            engine.catch_up()
            assert first.pk not in [hit.pk for hit in hits_now()]
    finally:
        stop.set()
        for thread in askers:
            thread.join(60)
    assert not failed
    assert hits(service) > 0
