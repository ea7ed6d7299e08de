"""The service over HTTP: what it answers, what it keeps, and to whom."""

import time
from pathlib import Path

import httpx
import numpy as np
import pytest
from support.service import post_item
from support.tiny_bundle import jpeg, picture

from sightline_cloud.embedded import EmbeddedService
from sightline_cloud.settings import Settings
from sightline_edge import Client, Options, Outcome
from sightline_shared.errors import KeyUnknown, PortInUse, ScopeMissing, StoreCorrupt
from sightline_shared.preprocess import to_tensor
from sightline_shared.protocol import Query, pack_query, unpack_answer


def test_a_photograph_of_an_item_finds_it(service) -> None:
    with service.client() as client:
        answer = client.search(picture(4, view=1))
    assert answer.outcome is Outcome.FOUND and answer.decided_by == "cloud"
    assert answer.matches[0].id == "item/4" and answer.matches[0].metadata == {"title": "Item 4"}
    assert answer.matches[0].score > 0.8 > answer.matches[1].score
    assert {"cloud.search", "cloud.hydrate", "round_trip", "embed"} <= set(answer.stages_ms)
    assert answer.versions["bundle"] == "tiny 1" and not answer.partial


def test_an_item_unlike_everything_is_not_found_and_says_why(service) -> None:
    with service.client() as client:
        answer = client.search(picture(77))
    assert answer.outcome is Outcome.NOT_FOUND and answer.matches == ()
    assert "too far" in answer.reasons[0]


def test_an_empty_catalogue_says_so(start) -> None:
    with start().client() as client:
        answer = client.search(picture(1))
    assert answer.outcome is Outcome.NOT_FOUND and answer.reasons == ("catalogue_empty: the catalogue is empty",)


def test_an_added_item_is_findable_when_the_call_returns_and_a_removed_one_is_not(service) -> None:
    with service.client() as client, service.http() as http:
        assert service.add(50).json() == {"id": "item/50", "replaced": False}
        assert client.search(picture(50)).matches[0].id == "item/50"
        assert http.delete("/v1/items/item/50").json() == {"id": "item/50", "removed": True}
        assert "item/50" not in [match.id for match in client.search(picture(50)).matches]
        assert http.delete("/v1/items/item/50").status_code == 404
        assert http.get("/v1/items/item/50").status_code == 404


def test_adding_an_id_again_replaces_it(service) -> None:
    with service.client() as client, service.http() as http:
        body = jpeg(picture(60))
        assert post_item(http, "item/3", body, {"title": "New"}).json()["replaced"] is True
        found = client.search(picture(60)).matches[0]
        assert (found.id, found.metadata) == ("item/3", {"title": "New"})
        assert "item/3" not in [match.id for match in client.search(picture(3)).matches if match.score > 0.9]
        assert http.get("/v1/items/item/3").json()["metadata"] == {"title": "New"}
    assert service.engine.store.counts() == {"default": 10}


def test_a_thumbnail_is_a_small_jpeg(service) -> None:
    with service.http() as http:
        response = http.get("/v1/items/item/1/thumbnail")
    assert response.headers["content-type"] == "image/jpeg" and response.content[:2] == b"\xff\xd8"


def test_several_codes_are_answered_together_each_match_under_its_code(service) -> None:
    device = service.device
    tensors = np.stack([to_tensor(picture(n), 192) for n in (2, 7)])
    codes = tuple(code.tobytes() for code in device.codec.encode(device.runtime.embed(tensors)))
    body = pack_query(Query(device.bundle.pairing.id, codes, b"12345678", k=5))
    with service.http() as http:
        answer = unpack_answer(http.post("/v1/search", content=body).content)
    assert {(match.id, match.code_index) for match in answer.matches[:2]} == {("item/2", 0), ("item/7", 1)}
    assert len({match.id for match in answer.matches}) == len(answer.matches) == 5


@pytest.mark.parametrize("k", [1, 3, 50])
def test_k_is_kept_to_and_never_more_than_there_are(service, k: int) -> None:
    with Client(service.url, api_key=service.key, device=service.device, options=Options(k=k)) as client:
        assert len(client.search(picture(1)).matches) == min(k, 10)


def test_gallery_codes_come_only_to_keys_with_the_rerank_scope(service) -> None:
    plain = service.new_key("plain", "default", "search")
    with service.client(plain) as client:
        assert all(match.code is None for match in client.search(picture(1)).matches)
    with service.client() as client:
        assert all(len(match.code or b"") == 64 for match in client.search(picture(1)).matches)


def test_scopes_are_kept_to(service) -> None:
    reader, writer = service.new_key("reader", "default", "search"), service.new_key("writer", "default", "write")
    assert service.add(70, reader).json()["code"] == "E_SCOPE_MISSING"
    with service.client(writer) as client, pytest.raises(ScopeMissing, match="expected the scope 'search'"):
        client.search(picture(1))


def test_a_revoked_key_is_refused_at_once(service) -> None:
    key = service.new_key("short-lived")
    with service.client(key) as client:
        assert client.search(picture(1)).outcome is Outcome.FOUND
        service.engine.keys.revoke("short-lived")
        with pytest.raises(KeyUnknown):
            client.search(picture(1))


def test_keys_are_stored_hashed_and_shown_once(service, tmp_path: Path) -> None:
    raw = b"".join(path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file())
    assert service.key.encode() not in raw
    assert not any("key" in row or "sha256" in row for row in service.engine.keys.list())


def test_two_tenants_never_cross(service) -> None:
    other = service.new_key("other", "shop-2")
    service.add(30, other, title="theirs")
    with service.client() as mine, service.client(other) as theirs:
        assert [match.id for match in theirs.search(picture(30)).matches] == ["item/30"]
        assert [match.id for match in theirs.search(picture(1)).matches] == []
        assert "item/30" not in [match.id for match in mine.search(picture(30)).matches]
    with service.http() as mine, service.http(other) as theirs:
        for path in ("/v1/items/item/30", "/v1/items/item/30/thumbnail"):
            assert (mine.get(path).status_code, theirs.get(path).status_code) == (404, 200)
        assert mine.delete("/v1/items/item/30").status_code == 404
        assert theirs.delete("/v1/items/item/1").status_code == 404
        assert mine.get("/v1/items/item/1").status_code == 200


def test_a_restart_brings_everything_back(service, start) -> None:
    start.stop()
    again = start()
    with again.client() as client:
        for number in range(10):
            assert client.search(picture(number)).matches[0].id == f"item/{number}"
    with again.http() as http:
        assert http.get("/readyz").json() == {"ok": True, "index": 10}


def test_a_deadline_that_falls_gives_a_partial_answer(service, monkeypatch) -> None:
    honest = service.engine.primary.indexes.shards[0].search

    def slow(*arguments):
        time.sleep(0.4)
        return honest(*arguments)

    monkeypatch.setattr(service.engine.primary.indexes.shards[0], "search", slow)
    body = pack_query(Query(service.device.bundle.pairing.id, (bytes(64),), b"12345678", deadline_ms=100))
    with service.http() as http:
        start = time.perf_counter()
        answer = unpack_answer(http.post("/v1/search", content=body).content)
    assert time.perf_counter() - start < 0.35
    assert answer.partial and "deadline of 100 ms" in answer.reasons[0]


def test_health_readiness_version_and_docs_need_no_key(service) -> None:
    with service.http(None) as http:
        assert http.get("/healthz").json() == {"ok": True}
        assert http.get("/readyz").json()["ok"] is True
        assert http.get("/v1/version").json()["pairing_id"] == service.device.bundle.pairing.id.hex()
        assert "Sightline" in http.get("/docs").text
        paths = http.get("/openapi.json").json()["paths"]
    assert "application/msgpack" in paths["/v1/search"]["post"]["requestBody"]["content"]


def test_every_response_names_its_request(service) -> None:
    with service.http(None) as http:
        assert http.get("/healthz", headers={"x-request-id": "mine-1"}).headers["x-request-id"] == "mine-1"
        odd = http.get("/v1/items/x", headers={"x-request-id": "a b;c"})
    assert odd.json()["request_id"] == odd.headers["x-request-id"] != "a b;c"


def test_a_port_in_use_is_named(service, tiny, tmp_path: Path) -> None:
    port = httpx.URL(service.url).port
    with pytest.raises(PortInUse, match=f"127.0.0.1:{port}"):
        EmbeddedService(Settings(data_dir=tmp_path / "other", port=port), tiny).start()


@pytest.mark.parametrize("damage", ["garbage", "middle"])
def test_a_damaged_catalogue_is_named(service, start, tiny, tmp_path: Path, damage: str) -> None:
    start.stop()
    path = tmp_path / "data" / "catalogue.sqlite"
    for extra in path.parent.glob("*-wal"):
        extra.unlink()
    data = bytearray(path.read_bytes())
    if damage == "garbage":
        data[:100] = b"x" * 100
    else:
        data[4096 : len(data)] = b"\xa5" * (len(data) - 4096)
    path.write_bytes(bytes(data))
    with pytest.raises(StoreCorrupt, match=r"catalogue\.sqlite"):
        EmbeddedService(Settings(data_dir=tmp_path / "data", port=0), tiny)
