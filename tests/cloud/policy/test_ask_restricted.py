"""An app that asks about a sensitive subject, through the SDK and by command: an authoritative article with the disclaimer comes
back, or nothing does, and neither device nor service keeps any of it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from support.policies import write_policy
from support.service import Service, post_item
from support.tiny_bundle import SENSITIVE, jpeg, picture

from sightline_cloud.policy.restricted import NOTHING
from sightline_edge import AnswerCache, Client, Options, Outcome, Session
from sightline_edge.pocket import PocketIndex
from sightline_shared.cli import main

LISTED = "health.example"
ABOUT = {"title": "About skin", "source": LISTED, "url": "https://health.example/skin"}


@pytest.fixture
def clinic(start: Callable[..., Service], tmp_path: Path) -> Service:
    """A service with shop items, a cream that looks like the sensitive picture, and an article of a listed source."""
    write_policy(tmp_path / "data")
    begun = start(filter_keys=("category", "available", "source"))
    for number in range(3):
        begun.add(number, title=f"Item {number}")
    with begun.http() as http:
        for item_id, view, metadata in (("cream", 2, {"source": "shop", "price": 9.5}), ("leaflet", 1, ABOUT)):
            answer = post_item(http, item_id, jpeg(picture(SENSITIVE, view=view)), metadata)
            assert answer.status_code == 200
    return begun


def asking(service: Service, **given: object) -> Client:
    options = Options(ask_restricted=True)
    return Client(service.url, api_key=service.key, device=service.device, options=options, **given)  # type: ignore[arg-type]


def test_the_article_of_a_listed_source_comes_with_the_disclaimer_and_nothing_that_is_sold(clinic: Service) -> None:
    with asking(clinic) as client:
        got = client.search(picture(SENSITIVE))
    assert (got.outcome, got.decided_by, got.final) == (Outcome.RESTRICTED, "cloud", True)
    assert [match.id for match in got.matches] == ["leaflet"]
    assert dict(got.matches[0].metadata) == ABOUT and got.matches[0].code is None
    assert got.disclaimer == "No advice." and got.versions["policy"]


def test_without_an_article_it_abstains(clinic: Service) -> None:
    with clinic.http() as http:
        assert http.delete("/v1/items/leaflet").status_code == 200
    with asking(clinic) as client:
        got = client.search(picture(SENSITIVE))
    assert (got.outcome, got.matches, got.disclaimer) == (Outcome.RESTRICTED, (), "Ask a doctor. No advice.")
    assert NOTHING in got.reasons


def test_an_app_that_does_not_ask_sends_nothing(clinic: Service) -> None:
    before = clinic.engine.policy.stats()
    with clinic.client() as client:
        got = client.search(picture(SENSITIVE))
    assert (got.outcome, got.decided_by, got.body_bytes_up, got.matches) == (Outcome.RESTRICTED, "device", 0, ())
    assert clinic.engine.policy.stats() == before


def test_neither_the_devices_cache_and_history_nor_the_services_cache_keep_it(clinic: Service, tmp_path: Path) -> None:
    cache, session = AnswerCache(), Session()
    pocket = PocketIndex.open_or_empty(tmp_path / "pocket.slp", clinic.device)
    with asking(clinic, cache=cache, session=session, pocket=pocket) as client:
        client.sync_pocket()
        assert len(pocket) == 5, "the cream is on the device"
        kept = clinic.engine.cache.stats()
        for _ in range(3):
            assert [match.id for match in client.search(picture(SENSITIVE)).matches] == ["leaflet"]
        first, _ = client.stream(picture(SENSITIVE))
        assert (first.outcome, first.matches, first.decided_by) == (Outcome.RESTRICTED, (), "device")
    assert cache.size_bytes == 0 and not session._found
    assert clinic.engine.cache.stats() == kept


def test_the_command_asks_when_it_is_told_to(clinic: Service, tiny_folder: Path, tmp_path: Path, capsys) -> None:
    photo = tmp_path / "photo.png"
    picture(SENSITIVE).save(photo)
    words = ["query", str(photo), "--url", clinic.url, "--api-key", clinic.key, "--bundle", str(tiny_folder), "--json"]
    assert main(words) == 0
    (closed,) = json.loads(capsys.readouterr().out)["answers"]
    assert (closed["outcome"], closed["decided_by"], closed["matches"]) == ("restricted", "device", [])
    assert main([*words, "--ask-restricted"]) == 0
    (asked,) = json.loads(capsys.readouterr().out)["answers"]
    assert (asked["outcome"], asked["decided_by"]) == ("restricted", "cloud")
    assert [match["id"] for match in asked["matches"]] == ["leaflet"] and asked["disclaimer"] == "No advice."
