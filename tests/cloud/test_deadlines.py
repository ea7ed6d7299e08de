"""A deadline is kept, what was found by then comes back in time to be read, and threads stay as many as were allowed."""

import threading
import time

import httpx
import msgpack
import numpy as np
import pytest
from support.tiny_bundle import picture

from sightline_cloud.cache import ResultCache
from sightline_edge import Client, Options, Outcome
from sightline_shared.preprocess import to_tensor
from sightline_shared.protocol import Decision, Query, pack_query, unpack_answer

MSGPACK = {"content-type": "application/msgpack"}


def codes_of(service, *numbers: int) -> tuple[bytes, ...]:
    tensors = np.stack([to_tensor(picture(number), 192) for number in numbers])
    return tuple(code.tobytes() for code in service.device.codec.encode(service.device.runtime.embed(tensors)))


def body(service, codes: tuple[bytes, ...], deadline_ms: int) -> bytes:
    return pack_query(Query(service.device.bundle.pairing.id, codes, b"12345678", k=5, deadline_ms=deadline_ms))


def slow_down(service, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    honest = service.engine.primary.indexes.shards[0].search

    def slow(*arguments):
        time.sleep(seconds)
        return honest(*arguments)

    monkeypatch.setattr(service.engine.primary.indexes.shards[0], "search", slow)


def ask(http: httpx.Client, content: bytes):
    return unpack_answer(http.post("/v1/search", content=content, headers=MSGPACK).content)


def test_codes_that_fit_into_the_deadline_are_answered_and_the_rest_is_named(service, monkeypatch) -> None:
    slow_down(service, monkeypatch, 0.05)
    codes = codes_of(service, 4, *[1] * 15)
    with service.http() as http:
        answer = ask(http, body(service, codes, 400))
    assert answer.partial and answer.decision is Decision.FOUND and answer.matches[0].id == "item/4"
    assert answer.reasons[0].startswith("the deadline of 400 ms fell after ") and answer.reasons[0].endswith(
        "of 16 codes"
    )


def test_a_partial_answer_never_claims_that_nothing_is_there(service, monkeypatch) -> None:
    slow_down(service, monkeypatch, 0.05)
    codes = codes_of(service, 77, *[4] * 15)  # nothing looks like the first
    with service.http() as http:
        whole = ask(http, body(service, codes[:1], 5000))
        cut = ask(http, body(service, codes[:1] * 16, 300))
    assert whole.decision is Decision.NOT_FOUND and not whole.partial
    assert cut.partial and cut.decision is Decision.UNSURE and cut.matches == ()


def test_the_partial_answer_reaches_the_client_before_it_gives_up(service, monkeypatch) -> None:
    slow_down(service, monkeypatch, 1.0)
    with Client(service.url, api_key=service.key, device=service.device, options=Options(deadline_ms=400)) as client:
        answer = client.search(picture(4))
    assert answer.partial and answer.outcome is Outcome.UNSURE


def test_searches_that_nobody_waits_for_hold_their_thread_and_no_more(service, monkeypatch) -> None:
    honest, lock, running, most = service.engine.primary.indexes.shards[0].search, threading.Lock(), [0], [0]

    def slow(*arguments):
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        time.sleep(0.3)
        with lock:
            running[0] -= 1
        return honest(*arguments)

    monkeypatch.setattr(service.engine.primary.indexes.shards[0], "search", slow)
    # What ran to its end unheard would answer the next one from the cache.
    monkeypatch.setattr(service.engine, "cache", ResultCache(0))
    content = body(service, codes_of(service, 4), 20)
    with service.http() as http:
        for _ in range(20):
            assert ask(http, content).partial
        assert 1 <= most[0] <= service.engine.settings.search_threads
        monkeypatch.undo()
        time.sleep(0.7)
        assert ask(http, body(service, codes_of(service, 4), 2000)).decision is Decision.FOUND


def test_an_error_carries_the_querys_own_request_id(service) -> None:
    content = pack_query(Query(b"otherone", (bytes(64),), b"12345678"))
    with service.http() as http:
        response = http.post("/v1/search", content=content, headers=MSGPACK)
    assert msgpack.unpackb(response.content)["request_id"] == response.headers["x-request-id"] == b"12345678".hex()
