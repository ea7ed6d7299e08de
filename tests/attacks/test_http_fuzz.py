"""Whatever comes in by any endpoint of the OpenAPI, as JSON, msgpack or noise: an answer or an error of ours, never a crash.

What no response may hold: a traceback, a path of the machine, a class of Python's, a key.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx
import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.asking import query
from support.service import Service, post_item
from support.tiny_bundle import jpeg, picture

from sightline_cloud.embedded import EmbeddedService
from sightline_cloud.settings import Settings
from sightline_edge import Device
from sightline_shared.errors import BY_CODE

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "TRACE")
LEAKS = re.compile(
    rb"Traceback|File \"|/work/|/tmp/|/usr/|site-packages|sk_|<class|object at 0x|sqlite3?\.|SELECT |sqlalchemy"
)
FUZZ = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


class Target:
    """A service with an all-powerful key; not a dataclass, which hypothesis would print with all that is in it."""

    def __init__(self, service: Service) -> None:
        self.service = service
        with service.http(None) as public, service.operator(None) as admin:
            self.paths = {
                "public": public.get("/openapi.json").json()["paths"],
                "admin": admin.get("/openapi.json").json()["paths"],
            }
        self.good = query(service, 1, 2, k=3)

    def send(self, door: str, method: str, path: str, body: bytes, headers: dict[str, str]) -> httpx.Response:
        with self.service.operator() if door == "admin" else self.service.http() as http:
            return http.request(method, path, content=body, headers=headers, timeout=60)


@pytest.fixture(scope="module")
def target(tiny, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    folder = tmp_path_factory.mktemp("fuzzed")
    with EmbeddedService(Settings(data_dir=folder, port=0, key_per_second=0, key_cost_per_minute=0), tiny) as running:
        key = running.engine.keys.add("all", scopes=("search", "rerank", "write", "admin"))
        service = Service(running.url, running.engine, Device.load(tiny), key, running.admin_url)
        with service.http() as http:
            for number in range(4):
                post_item(http, f"item/{number}", jpeg(picture(number)), {"title": f"Item {number}"})
        yield Target(service)


def check(response: httpx.Response) -> None:
    """Raise unless the response is one that the service means to give."""
    assert response.status_code < 500, response.content[:500]
    assert not LEAKS.search(response.content), response.content[:500]
    if response.status_code >= 400 and response.content:
        packed = "msgpack" in response.headers["content-type"]
        body = msgpack.unpackb(response.content) if packed else response.json()
        assert body["code"] in BY_CODE and set(body) == {"code", "message", "hint", "request_id"}
        assert len(response.content) < 5000, "an error does not give back all that was sent"


texts = st.text(st.characters(codec="utf-8"), max_size=30)
scalars = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | texts
trees = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=8
)
keys_of_ours = st.sampled_from(["ids", "metadata", "id", "image", "tenant", "title"])
objects = st.dictionaries(keys_of_ours | texts, trees, max_size=4)


@dataclass(frozen=True)
class Noise:
    """A body and what it says it is."""

    body: bytes
    kind: str


def packed(value: Any) -> bytes:
    try:
        return msgpack.packb(value)
    except (OverflowError, ValueError):  # integers beyond 64 bits
        return b"\xc1"


bodies = st.one_of(
    st.binary(max_size=300).map(lambda raw: Noise(raw, "application/octet-stream")),
    objects.map(lambda value: Noise(json.dumps(value).encode(), "application/json")),
    trees.map(lambda value: Noise(json.dumps(value).encode(), "application/json")),
    objects.map(lambda value: Noise(packed(value), "application/msgpack")),
    st.dictionaries(st.integers(0, 12), scalars | st.binary(max_size=70), max_size=8).map(
        lambda value: Noise(packed(value), "application/msgpack")
    ),
    st.sampled_from([b"[" * 5000, b'{"ids":' * 2000, b"\x91" * 5000, b"\xdf\xff\xff\xff\xff", b"1e999", b'{"ids": [1e999]}'])
    .map(lambda raw: Noise(raw, "application/json")),
)  # fmt: skip
odd_headers = st.dictionaries(
    st.sampled_from(
        ["accept", "accept-language", "x-request-id", "content-encoding", "x-forwarded-for", "range", "if-none-match"]
    ),
    st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=30),
    max_size=3,
)


@FUZZ
@given(
    door=st.sampled_from(["public", "admin"]),
    method=st.sampled_from(METHODS),
    at=st.integers(0, 50),
    part=texts,
    asked=st.dictionaries(st.sampled_from(["pairing", "have", "tenant", "limit"]), texts, max_size=3),
    noise=bodies,
    headers=odd_headers,
)
def test_no_endpoint_crashes_or_leaks(target: Target, door, method, at, part, asked, noise, headers) -> None:
    paths = sorted(target.paths[door])
    path = re.sub(r"\{[^}]*\}", lambda _: quote(part, safe=""), paths[at % len(paths)])
    more = "&".join(f"{key}={quote(value, safe='')}" for key, value in asked.items())
    response = target.send(door, method, f"{path}?{more}", noise.body, {"content-type": noise.kind, **headers})
    check(response)


@FUZZ
@given(path=texts, method=st.sampled_from(METHODS), door=st.sampled_from(["public", "admin"]))
def test_paths_that_are_not_there_are_told_as_ours(target: Target, path: str, method: str, door: str) -> None:
    check(target.send(door, method, "/v1/" + quote(path, safe="/"), b"", {}))


@FUZZ
@given(
    change=st.dictionaries(st.integers(-3, 20), scalars | st.binary(max_size=200) | trees, max_size=5),
    gone=st.sets(st.integers(0, 10), max_size=2),
)
def test_queries_of_any_shape_are_answered_or_refused(target: Target, change: dict[int, Any], gone: set[int]) -> None:
    fields = {**msgpack.unpackb(target.good, strict_map_key=False), **change}
    body = packed({key: value for key, value in fields.items() if key not in gone})
    response = target.send("public", "POST", "/v1/search", body, {"content-type": "application/msgpack"})
    check(response)


@FUZZ
@given(metadata=trees | objects, item_id=scalars, image=st.binary(max_size=100) | st.just(b"good") | texts)
def test_items_of_any_shape_are_stored_or_refused_and_what_is_stored_can_be_read(
    target, metadata, item_id, image
) -> None:
    picture_bytes = jpeg(picture(5)) if image == b"good" else image
    body = packed({"id": item_id, "image": picture_bytes, "metadata": metadata})
    response = target.send("public", "POST", "/v1/items", body, {"content-type": "application/msgpack"})
    check(response)
    if response.status_code == 200:
        path = f"/v1/items/{quote(item_id, safe='')}"
        if not httpx.URL("http://x" + path).path.startswith("/v1/items/"):
            return  # '..' is resolved before it is sent
        got = target.send("public", "GET", path, b"", {})
        check(got)
        again = target.send("public", "PATCH", path, json.dumps({"metadata": {"a": None}}).encode(), {})
        check(again)


def test_the_service_still_answers_after_all_this(target: Target) -> None:
    response = target.send("public", "POST", "/v1/search", target.good, {})
    assert response.status_code == 200
    with target.service.operator() as http:
        assert http.post("/v1/admin/verify", timeout=60).json() == {"ok": True, "problems": []}
