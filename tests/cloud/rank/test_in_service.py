"""The ranking as a caller of the service meets it."""

from collections.abc import Callable

from support.asking import answer, query
from support.service import Service, post_item
from support.tiny_bundle import jpeg, picture


def add_twin(service: Service, **metadata: object) -> None:
    """Add picture 4 a second time, under another id."""
    with service.http() as http:
        assert post_item(http, "twin", jpeg(picture(4)), metadata).status_code == 200


def ids(service: Service, k: int = 5) -> list[str]:
    return [match.id for match in answer(service, query(service, 4, k=k)).matches]


def test_a_picture_that_is_there_twice_is_answered_once_and_the_place_goes_to_the_next(service: Service) -> None:
    before = ids(service)
    add_twin(service)
    found = answer(service, query(service, 4, k=5))
    assert [match.id for match in found.matches] == before
    assert "near-duplicates of better matches left out: 1" in found.reasons
    assert "rank.duplicates" in found.stages_ms


def test_the_same_from_the_result_cache(service: Service) -> None:
    add_twin(service)
    first, hits = ids(service), service.engine.cache.stats()["hits"]
    assert ids(service) == first and service.engine.cache.stats()["hits"] == hits + 1


def test_items_that_say_different_groups_are_both_answered(service: Service) -> None:
    add_twin(service, item_group="large")
    with service.http() as http:
        http.patch("/v1/items/item/4", json={"metadata": {"item_group": "small"}}).raise_for_status()
    assert ids(service)[:2] == ["item/4", "twin"]


def test_without_stages_everything_is_answered_as_it_is_near(start: Callable[..., Service]) -> None:
    service = start(rank_stages=())
    for number in range(6):
        service.add(number)
    add_twin(service)
    found = answer(service, query(service, 4, k=5))
    assert [match.id for match in found.matches][:2] == ["item/4", "twin"] and len(found.matches) == 5
    assert not any(stage.startswith("rank") for stage in found.stages_ms)
