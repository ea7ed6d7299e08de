"""The pocket index through a running service: who gets it, exported and synced files, filters, a service that is gone."""

import json
from pathlib import Path

import httpx
import numpy as np
import pytest
from support.phones import ids_of
from support.service import Service
from support.tiny_bundle import picture

from sightline_edge import Client, Options
from sightline_edge.pocket import PocketIndex
from sightline_shared.cli import main
from sightline_shared.pocket_file import Part
from sightline_shared.preprocess import to_tensor
from sightline_shared.where import Where


def get(service: Service, key: str = "own", **query: str) -> httpx.Response:
    with service.http(key) as http:
        return http.get("/v1/pocket", params=query)


def taken(response: httpx.Response) -> list[str]:
    assert response.status_code == 200, response.text
    return ids_of(Part.from_bytes(response.content).onto(None))


def test_the_service_answers_whole_delta_and_not_changed(service: Service) -> None:
    pairing = service.device.bundle.pairing.id.hex()
    whole = get(service, pairing=pairing)
    assert taken(whole) == [f"item/{n}" for n in range(10)]
    base = Part.from_bytes(whole.content).onto(None)
    assert get(service, pairing=pairing, have=base.version).status_code == 304
    with service.http() as http:
        assert http.delete("/v1/items/item/3").status_code == 200
    service.add(11)
    delta = get(service, pairing=pairing, have=base.version)
    part = Part.from_bytes(delta.content)
    assert len(part.codes) == 1 and len(delta.content) < len(whole.content)
    assert ids_of(part.onto(base)) == [f"item/{n}" for n in (0, 1, 2, 4, 5, 6, 7, 8, 9, 11)]


def test_the_tenant_comes_from_the_key_alone(service: Service) -> None:
    pairing = service.device.bundle.pairing.id.hex()
    other = service.new_key("other", "shop-2")
    service.add(50, other)
    assert taken(get(service, other, pairing=pairing, tenant="default")) == ["item/50"]
    mine = Part.from_bytes(get(service, pairing=pairing).content)
    foreign = get(service, other, pairing=pairing, have=mine.version)
    assert taken(foreign) == ["item/50"], "a version of another tenant is no base"


def test_a_request_that_is_none_is_refused(service: Service) -> None:
    for query in ({}, {"pairing": "zz"}, {"pairing": "00" * 9}):
        refused = get(service, **query)
        assert (refused.status_code, refused.json()["code"]) == (400, "E_BODY_MALFORMED"), query
    stranger = get(service, pairing="00" * 8)
    assert (stranger.status_code, stranger.json()["code"]) == (409, "E_VERSION_MISMATCH")


def test_a_key_without_both_scopes_gets_nothing(service: Service) -> None:
    pairing = service.device.bundle.pairing.id.hex()
    for number, scopes in enumerate([("write",), ("search",), ("rerank", "write", "admin")]):
        refused = get(service, service.new_key(f"k{number}", "default", *scopes), pairing=pairing)
        assert (refused.status_code, refused.json()["code"]) == (403, "E_SCOPE_MISSING")
    with service.http(None) as http:
        assert http.get("/v1/pocket", params={"pairing": pairing}).status_code == 401


def test_an_erased_item_is_in_nothing_that_the_service_keeps(service: Service) -> None:
    pairing, operator = service.device.bundle.pairing.id.hex(), service.new_key("operator", "default", "admin")
    whole = get(service, pairing=pairing)
    with service.operator(operator) as http:
        receipt = http.post("/v1/admin/erase", json={"ids": ["item/3"]}, timeout=60).json()
    assert receipt["content"]["erased"]["pockets"] == ["pocket indexes: 1 of the tenant dropped"]
    have = Part.from_bytes(whole.content).version
    after = Part.from_bytes(get(service, pairing=pairing, have=have).content).onto(
        Part.from_bytes(whole.content).onto(None)
    )
    assert ids_of(after) == [f"item/{n}" for n in range(10) if n != 3]


def test_an_export_beside_the_service_is_what_the_device_opens_and_syncs(
    service: Service, tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = service.engine.settings.data_dir, tmp_path / "pocket.slp"
    (data / "pocket").mkdir()
    (data / "pocket" / "default.ids").write_text("item/2\nitem/1\n")
    words = ["pocket", "export", "--data", str(data), "--bundle", str(tiny_folder), "--out", str(out), "--json"]
    assert main([*words, "--items", "4"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["items"], told["listed"], told["bytes"]) == (4, 2, out.stat().st_size)
    index = PocketIndex.open(out, service.device)
    embedding = service.device.runtime.embed(to_tensor(picture(2), 192)[np.newaxis])[0]
    found = index.search(embedding, 10)
    assert sorted(match.id for match in found) == ["item/1", "item/2", "item/8", "item/9"]
    assert found[0].id == "item/2" and found[0].metadata == {"title": "Item 2"}
    with service.client() as client:
        answer = client.search(picture(2), options=Options(rerank=False))
    assert answer.matches[0].id == "item/2"
    assert found[0].score == pytest.approx(answer.matches[0].score, abs=0.02)

    sync = [
        "pocket",
        "sync",
        "--file",
        str(out),
        "--url",
        service.url,
        "--api-key",
        service.key,
        "--bundle",
        str(tiny_folder),
    ]
    assert main([*sync, "--json"]) == 0
    synced = json.loads(capsys.readouterr().out)
    assert (synced["items"], synced["calls"], synced["changed"]) == (10, 1, True)
    assert main([*sync, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["bytes_down"] == 0
    picture(2).save(tmp_path / "photo.png")
    ask = ["pocket", "search", str(out), str(tmp_path / "photo.png"), "--bundle", str(tiny_folder)]
    assert main([*ask, "-k", "3", "--json"]) == 0
    (answer,) = json.loads(capsys.readouterr().out)["answers"]
    assert len(answer["matches"]) == 3 and answer["matches"][0]["id"] == "item/2" and "pocket" in answer["stages_ms"]
    assert main(ask) == 0 and "Item 2" in capsys.readouterr().out
    assert main([*words[:-1], "--tenant", "nobody"]) == 1 and main([*words[:-1], "--items", "0"]) == 1


def test_filters_agree_with_the_service(start, tmp_path: Path) -> None:
    service = start()
    for number in range(12):
        service.add(number, category=["milk", "juice", "1"][number % 3], available=number % 4 != 3)
    index = PocketIndex(tmp_path / "pocket.slp", service.device)
    assert index.apply(get(service, pairing=index.pairing_id.hex()).content)
    embedding = service.device.runtime.embed(to_tensor(picture(1), 192)[np.newaxis])[0]
    for wanted in (
        {"category": "milk"},
        {"category": ["milk", "1"], "available": True},
        {"category": 1},
        {"brand": "x"},
    ):
        with service.client() as client:
            answer = client.search(picture(1), where=wanted)
        local = index.search(embedding, 50, Where.of(wanted))
        reached = {match.id for match in answer.matches}
        assert reached == {match.id for match in local} or answer.outcome == "not_found"


def test_the_client_brings_it_up_to_date_and_answers_from_it_when_the_service_is_gone(start, tmp_path: Path) -> None:
    service = start()
    for number in range(4):
        service.add(number, title=f"Item {number}")
    index = PocketIndex.open_or_empty(tmp_path / "pocket.slp", service.device)
    with Client(
        service.url, api_key=service.key, device=service.device, pocket=index, options=Options(retries=0)
    ) as client:
        synced = client.sync_pocket()
        assert (synced.items, synced.calls) == (4, 1) and client.search(picture(2)).decided_by == "cloud"
        start.stop()
        answer = client.search(picture(2))
    assert (answer.decided_by, answer.final, answer.matches[0].id) == ("pocket", True, "item/2")
    assert answer.trouble == "E_SERVICE_UNREACHABLE"
