"""Generations side by side: each query is answered by the one that its bundle pairs with, and strangers are refused."""

import json
from pathlib import Path

import msgpack
import numpy as np
import pytest
from support.asking import post
from support.service import Service, post_item
from support.tiny_bundle import jpeg, make_tiny_bundle, picture

from sightline_cloud.embedded import EmbeddedService
from sightline_cloud.settings import Settings
from sightline_edge import Client, Device
from sightline_shared.bundle import Bundle, open_bundle
from sightline_shared.cli import main
from sightline_shared.errors import ConfigInvalid, VersionMismatch
from sightline_shared.protocol import Query, pack_query


@pytest.fixture(scope="module")
def second_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("bundles") / "second"
    make_tiny_bundle(folder, seed=5, sensitive=True)
    return folder


@pytest.fixture(scope="module")
def second(second_folder: Path) -> Bundle:
    return open_bundle(second_folder)


@pytest.fixture
def serve(tmp_path: Path):
    """Starts services with some bundles over the test's data folder, one after another."""
    running: list[EmbeddedService] = []

    def begin(*bundles: Bundle) -> Service:
        while running:
            running.pop().stop()
        running.append(EmbeddedService(Settings(data_dir=tmp_path / "data", port=0), *bundles).start())
        engine = running[0].engine
        key = engine.keys.add(f"k{len(engine.keys.list())}")
        return Service(running[0].url, engine, Device.load(bundles[0]), key)

    yield begin
    for service in running:
        service.stop()


def ids(service: Service, bundle: Bundle, number: int) -> list[str]:
    with Client(service.url, api_key=service.key, device=Device.load(bundle)) as client:
        answer = client.search(picture(number))
    assert answer.outcome in ("found", "unsure") or not answer.matches
    return [match.id for match in answer.matches if match.score > 0.7]


def test_an_upload_is_found_by_the_apps_of_every_live_bundle(serve, tiny, second) -> None:
    service = serve(tiny, second)
    for number in range(4):
        assert service.add(number).status_code == 200
    for number in range(4):
        assert ids(service, tiny, number) == ids(service, second, number) == [f"item/{number}"]
    (change,) = {row.seq for row in service.engine.store.feed().changes_since(3)}
    assert change == 4, "one upload is one change, for all generations"
    with service.http() as http:
        assert http.delete("/v1/items/item/2").status_code == 200
    assert ids(service, tiny, 2) == ids(service, second, 2) == []


def test_each_answer_comes_from_the_vectors_of_its_own_bundle(serve, tiny, second) -> None:
    service = serve(tiny, second)
    service.add(1)
    stored = {key: service.engine.store.feed(live.key).rows([1]) for key, live in service.engine.generations.items()}
    for bundle in (tiny, second):
        device = Device.load(bundle)
        with Client(service.url, api_key=service.key, device=device) as client:
            answer = client.search(picture(1))
        assert answer.matches[0].code == stored[bundle.pairing.id].codes[0].tobytes()
    first, other = (rows.vectors[0].astype(np.float32) for rows in stored.values())
    assert first @ other < 0.9, "the two bundles' vectors are not each other's"


def test_a_stranger_is_refused_with_the_live_pairs(serve, tiny, second) -> None:
    response = post(serve(tiny, second), pack_query(Query(b"stranger", (bytes(64),), b"12345678")))
    refused = msgpack.unpackb(response.content)
    assert (response.status_code, refused["code"]) == (409, "E_VERSION_MISMATCH")
    assert tiny.pairing.id.hex() in refused["message"] and second.pairing.id.hex() in refused["message"]


def test_the_version_page_lists_what_is_live_and_the_doctor_takes_any_of_it(
    serve, tiny, second, second_folder: Path, capsys
) -> None:
    service = serve(tiny, second)
    with service.http(None) as http:
        page = http.get("/v1/version").json()
        ready = http.get("/readyz").json()
    assert page["pairing_id"] == tiny.pairing.id.hex() and page["protocols"] == [1, 2, 3]
    assert [each["pairing_id"] for each in page["generations"]] == [tiny.pairing.id.hex(), second.pairing.id.hex()]
    assert ready == {"ok": True, "index": 0}
    service.add(1)
    words = ["doctor", "--url", service.url, "--api-key", service.key, "--bundle", str(second_folder), "--json"]
    main(words)
    checks = {check["name"]: check for check in json.loads(capsys.readouterr().out)["checks"]}
    assert checks["service"]["ok"] and second.pairing.id.hex() in checks["service"]["detail"]


def test_two_bundles_of_one_pairing_are_refused(tiny, tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="a pairing id each"):
        EmbeddedService(Settings(data_dir=tmp_path / "data", port=0), tiny, tiny)


def test_a_new_bundle_finds_nothing_until_the_backfill_and_all_of_it_afterwards(
    serve, tiny, second, tiny_folder: Path, second_folder: Path, tmp_path: Path, capsys
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(5):
        picture(number).save(photos / f"{number}.png")
    data = ["--data", str(tmp_path / "data")]
    assert main(["index", "add", str(photos), *data, "--bundle", str(tiny_folder), "--json"]) == 0
    service = serve(tiny, second)
    with service.http() as http:
        post_item(http, "no-photo", jpeg(picture(70)), {})
    service.engine.store.remove("default", ["4.png"])
    assert ids(service, tiny, 3) == ["3.png"] and ids(service, second, 3) == []
    (photos / "2.png").write_bytes(b"damaged")
    capsys.readouterr()
    backfill = ["index", "backfill", str(photos), *data, "--bundle", str(second_folder), "--json"]
    assert main(backfill) == 0
    (report,) = json.loads(capsys.readouterr().out)["generations"]
    assert (report["added"], report["passed"], report["skipped"], report["missing"]) == (3, 1, 1, 1)
    service.engine.catch_up()
    for number in range(4):
        assert ids(service, second, number) == ([] if number == 2 else [f"{number}.png"])
        assert ids(service, tiny, number) == [f"{number}.png"]
    assert main(backfill) == 0
    (report,) = json.loads(capsys.readouterr().out)["generations"]
    assert (report["added"], report["passed"], report["missing"]) == (0, 4, 1), "it goes on where it stopped"
    stats = ["index", "stats", *data, "--bundle", str(tiny_folder)]
    assert main([*stats, "--json"]) == 0
    coverage = {each["pairing_id"]: each for each in json.loads(capsys.readouterr().out)["generations"]}
    assert coverage[tiny.pairing.id.hex()]["missing"] == 0 and coverage[tiny.pairing.id.hex()]["open"]
    assert (coverage[second.pairing.id.hex()]["missing"], coverage[second.pairing.id.hex()]["open"]) == (1, False)
    assert main(stats) == 0
    assert "1 items without; its bundle is not given here" in capsys.readouterr().out


def test_an_old_generation_can_be_left_out_and_taken_up_again(serve, tiny, second) -> None:
    service = serve(tiny, second)
    service.add(1)
    service = serve(second)
    assert ids(service, second, 1) == ["item/1"]
    with Client(service.url, api_key=service.key, device=Device.load(tiny)) as client, pytest.raises(VersionMismatch):
        client.search(picture(1))
    service.add(2)
    service = serve(tiny, second)
    assert ids(service, tiny, 1) == ["item/1"] and ids(service, tiny, 2) == [], "it was added without this bundle"
    assert ids(service, second, 2) == ["item/2"]
    assert "1 of 2 items" in service.engine.gaps()[0]
