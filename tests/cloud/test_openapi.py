"""schemathesis drives every endpoint of both doors from its own OpenAPI document, over real HTTP, against a service in a
process of its own: every answer is one that the document promises, nothing crashes, and nothing stays held afterwards.

msgpack bodies, of which OpenAPI can say no more than "binary", are drawn by support/query_bodies.py.
"""

import random
import re
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import msgpack
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from support.query_bodies import items, queries
from support.served import Served
from support.service import post_item
from support.tiny_bundle import jpeg, picture

from sightline_shared.protocol import MEDIA_TYPE, Query, pack_query, unpack_answer

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
# Neither limits nor shedding: what is refused for its number proves nothing.
SETTINGS = "key_per_second = 0\nkey_cost_per_minute = 0\nfailed_keys_per_minute = 0\ndegrade_at_most = 0\n"
EXAMPLES = settings(
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
# A flat index has no snapshot to go back to, so that this one can only be refused here: tests/cloud/test_operator.py has the others.
NEVER_DONE = {"POST /v1/admin/rollback"}


@schemathesis.deserializer(MEDIA_TYPE)
def from_msgpack(context: Any, response: Any) -> Any:
    """An error as the map that it is; an answer, whose keys JSON Schema cannot have, as the "binary" it is said to be."""
    if response.status_code == 200:
        return str(unpack_answer(response.content))
    return msgpack.unpackb(response.content)


# What is sent instead is drawn where the endpoint is known; without this the media type would be skipped.
schemathesis.openapi.media_type(MEDIA_TYPE, st.binary())


@pytest.fixture(scope="module")
def served(tiny, tiny_folder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    service = Served(tmp_path_factory.mktemp("openapi") / "data", tiny, tiny_folder, SETTINGS)
    with httpx.Client(base_url=service.url, headers=bearer(service.key)) as http:
        for number in range(4):
            assert post_item(http, f"item/{number}", jpeg(picture(number)), {"category": "milk"}).status_code == 200
    yield service
    assert service.stop() == 0
    assert "request_failed" not in service.log.read_text()


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def document_of(served: Served, door: str) -> Any:
    """The door's schema, in which nothing else is allowed than it names: a field that comes undocumented is a fault here."""
    document = httpx.get(f"{served.door(door)}/openapi.json").json()
    config = schemathesis.Config.from_dict({"base-url": served.door(door)})
    return schemathesis.openapi.from_dict(closed(document), config=config)


def closed(document: Any) -> Any:
    if isinstance(document, list):
        return [closed(each) for each in document]
    if not isinstance(document, dict):
        return document
    shut = {key: closed(value) for key, value in document.items()}
    # FastAPI's own words for "a dict" are a title and that anything goes.
    generated = str(document.get("title", "")).startswith("Response ")
    is_map = document.get("type") == "object" and "properties" in document
    return (
        {**shut, "additionalProperties": False}
        if is_map and (generated or "additionalProperties" not in document)
        else shut
    )


def operations(schema: Any) -> dict[str, Any]:
    found = [result.ok() for result in schema.get_all_operations()]
    return {operation.label: operation for operation in found}


def cases(operation: Any, pairing_id: bytes) -> st.SearchStrategy[Any]:
    """Requests as the document allows and as it does not, and such as hit something that is there."""
    known: dict[str, Any] = {}
    if "{item_id}" in operation.path:
        known["path_parameters"] = {"item_id": "item/1"}
    if operation.path == "/v1/pocket":
        known["query"] = {"pairing": pairing_id.hex()}
    drawn = [operation.as_strategy(), operation.as_strategy(**known)]
    if operation.body or operation.query:
        drawn.append(operation.as_strategy(generation_mode=GenerationMode.NEGATIVE))
    bodies = {"POST /v1/search": queries(pairing_id), "POST /v1/items": items()}
    if operation.label not in bodies:
        return st.one_of(drawn)
    return st.tuples(st.one_of(drawn[:2]), bodies[operation.label]).map(with_body)


def with_body(drawn: tuple[Any, bytes]) -> Any:
    case, case.body = drawn[0], drawn[1]
    return case


def driven(session: requests.Session, operation: Any, pairing_id: bytes) -> set[int]:
    """Send what is drawn, check every answer, and return the statuses that came."""
    statuses = set()
    takes_something = operation.body or operation.query or operation.path_parameters

    @settings(EXAMPLES, max_examples=80 if takes_something else 5)
    @given(case=cases(operation, pairing_id))
    def drive(case: Any) -> None:
        response = case.call(session=session, timeout=60)
        case.validate_response(response, checks=CHECKS)
        statuses.add(response.status_code)

    drive()
    return statuses


@pytest.mark.parametrize("door", ["public", "admin"])
def test_every_answer_is_one_that_the_document_promises(served: Served, tiny, door: str) -> None:
    with requests.Session() as session:
        session.headers.update(bearer(served.key))
        found = operations(document_of(served, door)).items()
        done = {label: driven(session, operation, tiny.pairing.id) for label, operation in found}
    assert {label for label, statuses in done.items() if 200 not in statuses} == (NEVER_DONE & set(done))


def keyed(schema: Any) -> dict[str, Any]:
    return {
        label: operation for label, operation in operations(schema).items() if operation.definition.raw.get("security")
    }


@pytest.mark.parametrize("door", ["public", "admin"])
def test_the_endpoints_that_say_so_want_a_key_with_the_scopes_they_name_and_the_others_none(
    served: Served, tiny, door: str
) -> None:
    schema = document_of(served, door)
    found, guarded = operations(schema), keyed(schema)
    assert {operation.path for label, operation in found.items() if label not in guarded} <= {
        "/healthz", "/readyz", "/v1/version", "/metrics"
    }  # fmt: skip
    known = {"path_parameters": {"item_id": "item/1"}, "query": {"pairing": tiny.pairing.id.hex()}}
    for label, operation in found.items():
        case = operation.Case(**known, **({"body": b"", "media_type": MEDIA_TYPE} if operation.body else {}))
        for key in (None, "sk_wrong", "other text"):
            response = case.call(headers=bearer(key) if key else {}, timeout=60)
            case.validate_response(response, checks=CHECKS)
            assert response.status_code == (401 if label in guarded else 200), (label, key)
        if label in guarded:
            scope = named_scope(operation)
            other = served.narrow_keys["write" if scope == "search" else "search"]
            response = case.call(headers={**bearer(other), "accept": MEDIA_TYPE}, timeout=60)
            case.validate_response(response, checks=CHECKS)
            assert response.status_code == 403 and f"scope '{scope}'" in msgpack.unpackb(response.content)["message"]


def named_scope(operation: Any) -> str:
    """The first scope that the description names."""
    return re.search(r"Wants a key that has (\w+)", operation.definition.raw["description"])[1]


@pytest.mark.parametrize("door", ["public", "admin"])
def test_a_method_that_the_document_does_not_have_is_told_which_there_are(served: Served, door: str) -> None:
    document = httpx.get(f"{served.door(door)}/openapi.json").json()
    with httpx.Client(base_url=served.door(door), headers=bearer(served.key)) as http:
        for path, methods in document["paths"].items():
            there = {method.upper() for method in methods}
            if path.endswith("/thumbnail"):  # the tail of an id, but for GET
                continue
            for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"} - there:
                response = http.request(method, path.replace("{item_id}", "item/1"))
                assert response.status_code == 405, (method, path)
                assert set(response.headers["allow"].split(", ")) <= there
                assert response.json()["code"] == "E_INPUT"


def hostile_round(served: Served, pairing_id: bytes, seed: int) -> None:
    """Right requests and wrong ones of every kind, over connections that end well, badly, or not at all by themselves."""
    rng = random.Random(seed)
    good = pack_query(Query(pairing_id, (rng.randbytes(64),), rng.randbytes(8), k=5, deadline_ms=2000))
    with httpx.Client(base_url=served.url, headers={**bearer(served.key), "content-type": MEDIA_TYPE}) as http:
        for number in range(30):
            query = pack_query(
                Query(pairing_id, (rng.randbytes(64),), rng.randbytes(8), k=1 + number, deadline_ms=2000)
            )
            assert http.post("/v1/search", content=query).status_code == 200
        for body in (b"", good[:-9], rng.randbytes(900), b"\x91" * 2000, b"\xdf\xff\xff\xff\xff", bytes(5000)):
            assert http.post("/v1/search", content=body).status_code in (400, 413)
            assert http.post("/v1/items", content=body).status_code == 400
        assert http.post("/v1/items", content=bytes(17 * 1024 * 1024)).status_code == 413
        for number in range(3):
            assert post_item(http, f"item/{number}", jpeg(picture(number)), {}).status_code == 200
            assert post_item(http, f"item/{number}", jpeg(picture(number))[:700], {}).status_code == 422
            assert http.get(f"/v1/items/item/{number}/thumbnail").status_code == 200
        assert http.get(f"/v1/pocket?pairing={pairing_id.hex()}").status_code == 200
    url = httpx.URL(served.url)
    head = f"POST /v1/search HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {served.key}\r\ncontent-length: {len(good)}\r\n\r\n"
    for sent in (b"", b"\x16\x03\x01", head.encode()[:50], head.encode() + good[:20], head.encode() + good):
        with socket.create_connection((url.host, url.port)) as connection:  # and away
            connection.sendall(sent)
    with httpx.Client(base_url=served.admin_url, headers=bearer(served.key)) as http:
        for verb in ("compact", "verify", "promote"):
            assert http.post(f"/v1/admin/{verb}").status_code == 200
        assert http.get("/metrics").status_code == 200


# What twelve rounds of the same may add: allocators keep some of what they once had, and a pool starts a thread when one
# is busy, which opens a connection to the database, two files. A leak of one thing a round is more.
ROUNDS = 12
MAX_GROWTH_BYTES = ROUNDS * 1024 * 1024
MORE_THREADS = 4


def test_nothing_stays_held_of_requests_right_and_wrong(served: Served, tiny) -> None:
    for seed in range(3):  # threads and connections of the database come when they are first needed
        hostile_round(served, tiny.pairing.id, seed)
    before = served.settled()
    temporary = sorted(served.tmp.rglob("*"))  # libraries leave some of their own when they are loaded
    files = sorted(str(path) for path in served.data.rglob("*") if path.is_file())
    for seed in range(3, 3 + ROUNDS):
        hostile_round(served, tiny.pairing.id, seed)
    after = served.settled(before.files)
    assert after.files <= before.files and after.threads <= before.threads + MORE_THREADS
    assert after.database_files <= before.database_files + 2 * MORE_THREADS
    assert after.resident_bytes - before.resident_bytes <= MAX_GROWTH_BYTES
    assert sorted(str(path) for path in served.data.rglob("*") if path.is_file()) == files
    assert sorted(served.tmp.rglob("*")) == temporary
    assert served.deleted_files() == []
