"""The client: what it sends, what it makes of every reply, and that nothing of httpx reaches the app."""

import asyncio
import dataclasses
import socket
import threading

import httpx
import msgpack
import numpy as np
import pytest
from support.tiny_bundle import jpeg, make_tiny_bundle, picture

from sightline_edge import AsyncClient, Client, Device, Options, Outcome
from sightline_shared.errors import (
    AnswerMalformed,
    ConfigInvalid,
    FilterInvalid,
    ImageUnreadable,
    InputError,
    KeyUnknown,
    ProtocolUnknown,
    ServiceBusy,
    ServiceFailed,
    ServiceTimeout,
    ServiceUnreachable,
    SightlineError,
    VersionMismatch,
)
from sightline_shared.protocol import (
    MAX_ANSWER_BYTES,
    Answer,
    Decision,
    Match,
    pack_answer,
    unpack_answer,
    unpack_query,
)
from sightline_shared.where import Where

URL = "http://service.test"


@pytest.fixture(scope="module")
def device(tiny) -> Device:
    return Device.load(tiny)


def answering(reply) -> httpx.MockTransport:
    """A service that answers with `reply(query)`: bytes, or a whole response."""

    def handle(request: httpx.Request) -> httpx.Response:
        made = reply(unpack_query(request.content))
        return made if isinstance(made, httpx.Response) else httpx.Response(200, content=made)

    return httpx.MockTransport(handle)


def found(query) -> bytes:
    return pack_answer(
        Answer(query.request_id, Decision.FOUND, (Match("a", 0.9, {"title": "A"}),), stages_ms={"search": 1.5})
    )


def raising(error: Exception) -> httpx.MockTransport:
    def handle(request: httpx.Request) -> httpx.Response:
        raise error

    return httpx.MockTransport(handle)


def test_what_is_sent_is_one_code_within_128_bytes_and_nothing_of_the_picture(device) -> None:
    sent = []

    def reply(query):
        sent.append(query)
        return found(query)

    seen = []
    transport = answering(reply)
    honest = transport.handle_async_request
    transport.handle_async_request = lambda request: (seen.append(request), honest(request))[1]
    with Client(URL, api_key="sk_x", device=device, transport=transport, options=Options(k=7)) as client:
        answer = client.search(picture(1))
    (query,), (request,) = sent, seen
    assert len(request.content) <= 128 and answer.body_bytes_up == len(request.content)
    assert query.codes == (answer.code,) and len(answer.code) == 64 and query.k == 7
    assert query.pairing_id == device.bundle.pairing.id
    assert 0 < query.deadline_ms <= 2000
    # Only the deadline ends a query: five seconds of silence, which end it by httpx's default, may be an outage.
    assert set(request.extensions["timeout"].values()) == {60.0}
    assert request.headers["authorization"] == "Bearer sk_x"
    assert set(request.headers) == {
        "host", "accept", "accept-encoding", "content-type", "user-agent", "authorization", "connection", "content-length",
    }  # fmt: skip
    assert answer.outcome is Outcome.FOUND and answer.stages_ms["cloud.search"] == 1.5
    assert answer.http_bytes_up > answer.body_bytes_up and answer.http_bytes_down > answer.body_bytes_down


def test_what_the_service_says_of_its_answer_reaches_the_app(device) -> None:
    words = "This is no medical advice."

    def reply(query) -> bytes:
        return pack_answer(dataclasses.replace(unpack_answer(found(query)), confidence=0.25, disclaimer=words))

    with Client(URL, device=device, transport=answering(reply)) as client:
        answer = client.search(picture(1))
        assert (answer.confidence, answer.disclaimer) == (0.25, words)
        assert (answer.to_dict()["confidence"], answer.to_dict()["disclaimer"]) == (0.25, words)
    with Client(URL, device=device, transport=answering(found)) as client:
        older = client.search(picture(1))
    assert (older.confidence, older.disclaimer) == (None, "")


WHERE = {"category": "milk", "colour": ["red", "blue"], "available": True}


def test_a_filter_travels_as_it_was_given_from_both_clients(device) -> None:
    sent = []
    transport = answering(lambda query: (sent.append(query.where), found(query))[1])

    async def ask() -> None:
        async with AsyncClient(URL, device=device, transport=transport) as client:
            await client.search(picture(1), where=WHERE)

    with Client(URL, device=device, transport=transport) as client:
        client.search(picture(1), where=WHERE)
        client.search(picture(1))
    asyncio.run(ask())
    assert sent == [Where.of(WHERE), Where(), Where.of(WHERE)]


@pytest.mark.parametrize("where", [{"a": []}, {"a": None}, {"brand": [f"{n}" + "x" * 190 for n in range(11)]}])
def test_a_filter_that_cannot_be_sent_is_refused_before_anything_is(device, where) -> None:
    transport = raising(AssertionError("something was sent"))
    with Client(URL, device=device, transport=transport) as client, pytest.raises(FilterInvalid, match="expected"):
        client.search(picture(1), where=where)


def test_a_service_older_than_filters_is_named_with_what_to_do(device) -> None:
    # What version 0.1's service answers to every protocol number but 1.
    refusal = {
        "code": "E_PROTOCOL_UNKNOWN",
        "message": "request body: expected protocol 1, got 2.",
        "hint": "Upgrade the older of SDK and service.",
        "request_id": "x",
    }

    def old(request: httpx.Request) -> httpx.Response:
        number = msgpack.unpackb(request.content, strict_map_key=False)[0]
        return httpx.Response(200, content=found(unpack_query(request.content))) if number == 1 else httpx.Response(
            400, content=msgpack.packb(refusal)
        )  # fmt: skip

    with Client(URL, device=device, transport=httpx.MockTransport(old)) as client:
        assert client.search(picture(1)).outcome is Outcome.FOUND
        with pytest.raises(ProtocolUnknown, match="Upgrade the older of SDK and service"):
            client.search(picture(1), where={"category": "milk"})


def test_a_frame_that_the_gate_refuses_never_leaves(tiny) -> None:
    strict = Device.load(tiny)
    strict = dataclasses.replace(strict, gate=dataclasses.replace(strict.gate, reject_below=0.999))
    with Client(URL, device=strict, transport=raising(AssertionError("something was sent"))) as client:
        answer = client.search(picture(1))
    assert answer.outcome is Outcome.NOT_FOUND and answer.decided_by == "device"
    assert "no visual match" in answer.reasons[0] and answer.body_bytes_up == 0 and answer.code is None


def test_a_gate_in_doubt_asks_and_says_so(tiny) -> None:
    doubting = Device.load(tiny)
    doubting = dataclasses.replace(doubting, gate=dataclasses.replace(doubting.gate, sure_above=0.999))
    with Client(URL, device=doubting, transport=answering(found)) as client:
        answer = client.search(picture(1))
    assert answer.decided_by == "cloud" and "the device is unsure" in answer.reasons[0]


@pytest.mark.parametrize(("level", "reason"), [(0, "too dark"), (255, "too bright"), (128, "hold still")])
def test_a_poor_frame_never_leaves_and_says_what_to_do(device, level: int, reason: str) -> None:
    frame = np.full((120, 160, 3), level, np.uint8)
    with Client(URL, device=device, transport=raising(AssertionError("something was sent"))) as client:
        answer = client.search(frame)
    assert (answer.outcome, answer.reasons, answer.decided_by) == (Outcome.RETAKE, (reason,), "device")
    assert "embed" not in answer.stages_ms


FOREIGN = [
    (httpx.ConnectError("refused"), ServiceUnreachable),
    (httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED]"), ServiceUnreachable),
    (httpx.ConnectTimeout("slow"), ServiceTimeout),
    (httpx.ReadTimeout("slow"), ServiceTimeout),
    (httpx.WriteTimeout("slow"), ServiceTimeout),
    (httpx.PoolTimeout("busy"), ServiceTimeout),
    (httpx.ReadError("reset"), ServiceUnreachable),
    (httpx.WriteError("broken pipe"), ServiceUnreachable),
    (httpx.CloseError("gone"), ServiceUnreachable),
    (httpx.ProxyError("no proxy"), ServiceUnreachable),
    (httpx.UnsupportedProtocol("ftp"), ServiceUnreachable),
    (httpx.LocalProtocolError("bad"), ServiceUnreachable),
    (httpx.RemoteProtocolError("garbage"), AnswerMalformed),
    (httpx.DecodingError("gzip"), AnswerMalformed),
    (httpx.TooManyRedirects("round"), ServiceUnreachable),
]


@pytest.mark.parametrize(
    ("foreign", "ours"), FOREIGN, ids=lambda value: getattr(value, "__name__", type(value).__name__)
)
def test_every_error_of_httpx_becomes_ours(device, foreign: Exception, ours: type[SightlineError]) -> None:
    with Client(URL, device=device, transport=raising(foreign)) as client, pytest.raises(ours, match=r"service\.test"):
        client.search(picture(1))


def test_the_table_of_foreign_errors_is_complete() -> None:
    leaves = {
        kind
        for kind in vars(httpx).values()
        if isinstance(kind, type) and issubclass(kind, httpx.RequestError) and not kind.__subclasses__()
    }
    assert leaves <= {type(foreign) for foreign, _ in FOREIGN}


REPLIES = {
    "our error": (lambda q: httpx.Response(401, content=msgpack.packb({"code": "E_KEY_UNKNOWN", "message": "m"})), KeyUnknown),
    "other bundle": (lambda q: httpx.Response(409, content=msgpack.packb({"code": "E_VERSION_MISMATCH", "message": "m"})), VersionMismatch),
    "unknown code": (lambda q: httpx.Response(418, content=msgpack.packb({"code": "E_TEAPOT", "message": "m"})), ServiceFailed),
    "429": (lambda q: httpx.Response(429, text="slow down"), ServiceBusy),
    "503": (lambda q: httpx.Response(503, text="<html>proxy</html>"), ServiceBusy),
    "504": (lambda q: httpx.Response(504), ServiceTimeout),
    "500 html": (lambda q: httpx.Response(500, text="<html>"), ServiceFailed),
    "302": (lambda q: httpx.Response(302, headers={"location": "/"}), ServiceFailed),
    "error of nonsense": (lambda q: httpx.Response(400, content=msgpack.packb({"code": 7, "message": []})), ServiceFailed),
    "garbage": (lambda q: b"\xc1garbage", AnswerMalformed),
    "html": (lambda q: b"<html>captive portal</html>", AnswerMalformed),
    "empty": (lambda q: b"", AnswerMalformed),
    "cut off": (lambda q: found(q)[:-3], AnswerMalformed),
    "someone else's": (lambda q: found(dataclasses.replace(q, request_id=b"notmine!")), AnswerMalformed),
    "compressed": (lambda q: httpx.Response(200, headers={"content-encoding": "gzip"}, stream=httpx.ByteStream(b"x")), AnswerMalformed),
    "endless": (lambda q: bytes(MAX_ANSWER_BYTES + 1), AnswerMalformed),
}  # fmt: skip


@pytest.mark.parametrize("name", REPLIES)
def test_every_reply_that_is_no_answer_becomes_an_error_of_ours(device, name: str) -> None:
    reply, ours = REPLIES[name]
    with Client(URL, device=device, transport=answering(reply)) as client, pytest.raises(ours) as caught:
        client.search(picture(1))
    assert type(caught.value) is ours and "Traceback" not in str(caught.value)


def test_nothing_listens(device) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with (
        Client(f"http://127.0.0.1:{port}", device=device) as client,
        pytest.raises(ServiceUnreachable, match=str(port)),
    ):
        client.search(picture(1))


@pytest.fixture
def silent_port():
    """A port that accepts and never answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_a_service_that_never_answers_ends_at_the_deadline(device, silent_port) -> None:
    options = Options(deadline_ms=300)
    with (
        Client(f"http://127.0.0.1:{silent_port}", device=device, options=options) as client,
        pytest.raises(ServiceTimeout, match="deadline of 300 ms"),
    ):
        client.search(picture(1))


def test_a_trickling_answer_ends_at_the_deadline_of_the_async_client(device) -> None:
    async def trickle(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
        try:
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.05)
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def main() -> None:
        server = await asyncio.start_server(trickle, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with AsyncClient(f"http://127.0.0.1:{port}", device=device, options=Options(deadline_ms=400)) as client:
            with pytest.raises(ServiceTimeout):
                await client.search(picture(1))
        server.close()

    asyncio.run(main())


def test_the_async_client_answers_as_the_sync_one(service) -> None:
    async def ask():
        async with AsyncClient(service.url, api_key=service.key, device=service.device) as client:
            return await asyncio.gather(*(client.search(picture(n)) for n in (1, 4, 6)))

    answers = asyncio.run(ask())
    assert [answer.matches[0].id for answer in answers] == ["item/1", "item/4", "item/6"]
    with service.client() as client:
        assert client.search(picture(4)).matches == answers[1].matches


def test_threads_share_a_client(service) -> None:
    wrong = []
    with service.client() as client:

        def ask(number: int) -> None:
            for _ in range(10):
                if client.search(picture(number)).matches[0].id != f"item/{number}":
                    wrong.append(number)

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


@pytest.mark.parametrize("frame", [b"not a picture", jpeg(picture(1))[:500], "missing.jpg"])
def test_a_frame_that_is_no_picture_is_named_and_the_client_goes_on(device, frame) -> None:
    with Client(URL, device=device, transport=answering(found)) as client:
        with pytest.raises(ImageUnreadable):
            client.search(frame)
        with pytest.raises(InputError):
            client.search(np.zeros((4, 4), np.uint8))
        assert client.search(picture(1)).outcome is Outcome.FOUND


@pytest.mark.parametrize("url", ["", "service.test", "ftp://x", "http://", "http://[bad", "http://x:99999999"])
def test_an_impossible_url_is_named(device, url: str) -> None:
    with pytest.raises(ConfigInvalid, match="expected http"):
        Client(url, device=device)


@pytest.mark.parametrize("options", [{"k": 0}, {"k": 51}, {"deadline_ms": 0}, {"deadline_ms": 10**9}])
def test_impossible_options_are_named(options: dict[str, int]) -> None:
    with pytest.raises(ConfigInvalid, match="expected 1 to"):
        Options(**options)


def test_a_query_for_another_bundle_is_refused_by_the_service(service, tmp_path) -> None:
    other = Device.load(make_tiny_bundle(tmp_path / "other", seed=3))
    with (
        Client(service.url, api_key=service.key, device=other) as client,
        pytest.raises(VersionMismatch, match=other.bundle.pairing.id.hex()),
    ):
        client.search(picture(1))


def test_an_answer_is_json_able(service) -> None:
    import json

    with service.client() as client:
        said = json.loads(json.dumps(client.search(picture(1)).to_dict()))
    assert said["matches"][0]["id"] == "item/1" and said["bytes"]["body_up"] <= 128
