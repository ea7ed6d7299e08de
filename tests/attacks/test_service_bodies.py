"""Bodies built to harm: each is refused by name, and the service answers the next query."""

import socket
import struct
import time
import zlib

import httpx
import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.service import post_item
from support.tiny_bundle import jpeg, picture

from sightline_edge import Outcome
from sightline_shared.protocol import Query, pack_query

MSGPACK = {"content-type": "application/msgpack"}


def query_bytes(service, **change) -> bytes:
    fields = {
        "pairing_id": service.device.bundle.pairing.id,
        "codes": (bytes(64),),
        "request_id": b"12345678",
        **change,
    }
    return pack_query(Query(**fields))


def refused(response: httpx.Response, status: int, code: str) -> None:
    assert response.status_code == status
    body = (
        msgpack.unpackb(response.content)
        if b"msgpack" in response.headers["content-type"].encode()
        else response.json()
    )
    assert body["code"] == code and body["message"] and body["request_id"] == response.headers["x-request-id"]
    assert "Traceback" not in str(body)


def still_answers(service) -> None:
    with service.client() as client:
        assert client.search(picture(2, view=1)).outcome is Outcome.FOUND


def bodies(service) -> dict[str, tuple[bytes, int, str]]:
    good = query_bytes(service)
    fields = msgpack.unpackb(good, strict_map_key=False)
    nested = b"\x91" * 1500 + b"\xc0"
    return {
        "empty": (b"", 400, "E_BODY_MALFORMED"),
        "truncated": (good[:40], 400, "E_BODY_MALFORMED"),
        "trailing": (good + b"\xc0", 400, "E_BODY_MALFORMED"),
        "json": (b'{"k": 3}', 400, "E_BODY_MALFORMED"),
        "nested": (nested, 400, "E_BODY_MALFORMED"),
        "huge claim": (b"\xdf\xff\xff\xff\xff", 400, "E_BODY_MALFORMED"),
        "oversize": (b"\x00" * 2049, 413, "E_BODY_TOO_LARGE"),
        "unknown protocol": (msgpack.packb({**fields, 0: 7}), 400, "E_PROTOCOL_UNKNOWN"),
        "other bundle": (query_bytes(service, pairing_id=b"otherone"), 409, "E_VERSION_MISMATCH"),
        "32-byte code": (query_bytes(service, codes=(bytes(32),)), 400, "E_BODY_MALFORMED"),
        "k of a million": (msgpack.packb({**fields, 3: 10**6}), 400, "E_BODY_MALFORMED"),
    }


CASES = [
    "empty", "truncated", "trailing", "json", "nested", "huge claim", "oversize", "unknown protocol", "other bundle",
    "32-byte code", "k of a million",
]  # fmt: skip


def test_every_bad_body_is_refused_by_name_and_the_next_query_is_answered(service) -> None:
    cases = bodies(service)
    assert sorted(cases) == sorted(CASES)
    with service.http() as http:
        for body, status, code in cases.values():
            refused(http.post("/v1/search", content=body, headers=MSGPACK), status, code)
            still_answers(service)


@pytest.mark.parametrize(
    ("header", "code"),
    [(None, "E_KEY_MISSING"), ("Basic abc", "E_KEY_MISSING"), ("Bearer sk_wrong", "E_KEY_UNKNOWN"), ("Bearer " + "x" * 5000, "E_KEY_UNKNOWN")],
)  # fmt: skip
def test_wrong_keys_are_refused_before_the_body_is_read(service, header: str | None, code: str) -> None:
    headers = {**MSGPACK, **({"authorization": header} if header else {})}
    response = httpx.post(service.url + "/v1/search", content=query_bytes(service), headers=headers)
    refused(response, 401, code)
    assert response.headers["www-authenticate"] == "Bearer"


def test_a_body_without_end_is_cut_off_at_the_cap(service) -> None:
    def endless():
        for _ in range(10_000):
            yield b"\x00" * 1024

    with service.http() as http:
        response = http.post("/v1/search", content=endless(), headers=MSGPACK)
    refused(response, 413, "E_BODY_TOO_LARGE")
    still_answers(service)


def test_a_caller_that_goes_away_mid_body_harms_nobody(service) -> None:
    url = httpx.URL(service.url)
    with socket.create_connection((url.host, url.port)) as sock:
        sock.sendall(
            b"POST /v1/search HTTP/1.1\r\nhost: x\r\nauthorization: Bearer " + service.key.encode()
            + b"\r\ncontent-length: 100\r\n\r\nabc"
        )  # fmt: skip
    time.sleep(0.1)
    still_answers(service)


def bomb(width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(bytes(1_000_000))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in (header, data)
    )


def test_bad_pictures_are_refused_by_name_and_nothing_is_stored(service) -> None:
    pictures = {
        "text": (b"hello", 422, "E_IMAGE_UNREADABLE"),
        "cut off": (jpeg(picture(1))[:700], 422, "E_IMAGE_UNREADABLE"),
        "bomb": (bomb(50_000, 50_000), 413, "E_IMAGE_TOO_LARGE"),
        "hollow": (bomb(4000, 4000), 422, "E_IMAGE_UNREADABLE"),
    }
    with service.http() as http:
        for name, (image, status, code) in pictures.items():
            refused(post_item(http, name, image, {}), status, code)
    assert service.engine.store.counts() == {"default": 10}
    still_answers(service)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"id": "", "image": b"x"},
        {"id": "x" * 201, "image": b"x"},
        {"id": "a\nb", "image": b"x"},
        {"id": "a", "image": "text"},
        {"id": "a", "image": b"x", "metadata": {"list": [1]}},
        {"id": "a", "image": b"x", "metadata": {"long": "x" * 5000}},
        {"id": "a", "image": b"x", "metadata": {1: "number"}},
    ],
)
def test_bad_items_are_refused(service, fields: dict[str, object]) -> None:
    with service.http() as http:
        refused(http.post("/v1/items", content=msgpack.packb(fields), headers=MSGPACK), 400, "E_BODY_MALFORMED")


def test_an_upload_past_the_cap_is_refused(start) -> None:
    service = start(max_item_bytes=2000)
    with service.http() as http:
        refused(http.post("/v1/items", content=bytes(2001), headers=MSGPACK), 413, "E_BODY_TOO_LARGE")


def test_an_error_inside_is_told_without_its_details(service, monkeypatch) -> None:
    def broken(*_):
        raise RuntimeError("secret path /x/y")

    monkeypatch.setattr(service.engine.store, "hydrate", broken)
    with service.http() as http:
        response = http.post("/v1/search", content=query_bytes(service), headers=MSGPACK)
    refused(response, 500, "E_SERVICE_FAILED")
    assert b"secret" not in response.content


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_fuzzed_bodies_get_an_answer_or_an_error_of_ours(service, data) -> None:
    body = bytearray(query_bytes(service))
    for _ in range(data.draw(st.integers(0, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    body = body[: data.draw(st.integers(0, len(body)))] if data.draw(st.booleans()) else body
    with service.http() as http:
        response = http.post("/v1/search", content=bytes(body), headers=MSGPACK)
    assert response.status_code in (200, 400, 409, 413)
    if response.status_code != 200:
        assert msgpack.unpackb(response.content)["code"].startswith("E_")
