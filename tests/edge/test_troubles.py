"""Services that misbehave on real sockets, and a client that is used for long."""

import json
import os
import ssl
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from support.tiny_bundle import picture

from sightline_edge import AnswerCache, Client, Device, Options, Outcome
from sightline_edge.testing import FakeCloud
from sightline_shared.errors import AnswerMalformed, CertificateRefused, ServiceError, ServiceUnreachable
from sightline_shared.protocol import Answer, Decision, Match, pack_answer, unpack_query

CERTIFICATES = Path(__file__).parents[1] / "support" / "certificates"


@pytest.fixture(scope="module")
def device(tiny) -> Device:
    return Device.load(tiny)


@contextmanager
def serving(handle, certificate: Path | None = None):
    """A TCP server that gives every connection to `handle(socket)`, in a thread; yields its port."""
    import socket

    context = None
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=one, args=(connection,), daemon=True).start()

        def one(connection) -> None:
            with connection:
                connection.settimeout(20)
                with suppress(OSError):
                    handle(context.wrap_socket(connection, server_side=True) if context else connection)

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def request_on(connection) -> bytes:
    """Return the body of the next request; raises OSError when the client is gone."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = connection.recv(65536)
        if not part:
            raise ConnectionResetError
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(65536)
    return body


def well(body: bytes) -> bytes:
    query = unpack_query(body)
    answer = pack_answer(Answer(query.request_id, Decision.FOUND, (Match("a", 0.9),)))
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(answer) + answer


@pytest.mark.parametrize(
    ("name", "said"), [("unknown_signer", "self-signed|self signed"), ("expired", "expired|self-signed|self signed")]
)
def test_a_certificate_that_is_not_trusted_is_refused(device, name: str, said: str) -> None:
    with (
        serving(lambda connection: None, CERTIFICATES / f"{name}.pem") as port,
        Client(f"https://127.0.0.1:{port}", device=device, options=Options(deadline_ms=10_000)) as client,
        pytest.raises(CertificateRefused, match=said),
    ):
        client.search(picture(1))


RAW = {
    "not HTTP": b"SSH-2.0-OpenSSH_9.6\r\n",
    "a broken length": b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
    "cut off in the middle": b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\nabc",
    "a header without an end": b"HTTP/1.1 200 OK\r\nx: " + b"y" * 200_000,
    "nothing": b"",
}


@pytest.mark.parametrize("name", RAW)
def test_garbage_on_the_wire_is_an_error_of_ours(device, name: str) -> None:
    def handle(connection) -> None:
        request_on(connection)
        connection.sendall(RAW[name])

    with (
        serving(handle) as port,
        Client(f"http://127.0.0.1:{port}", device=device, options=Options(deadline_ms=5000, retries=0)) as client,
        pytest.raises(ServiceError) as caught,
    ):
        client.search(picture(1))
    assert isinstance(caught.value, AnswerMalformed | ServiceUnreachable)


def test_a_connection_that_the_service_closed_meanwhile_costs_nobody_an_answer(device) -> None:
    def handle(connection) -> None:
        connection.sendall(well(request_on(connection)))
        request_on(connection)  # and closes without a word, as a service does whose patience is at its end

    with serving(handle) as port, Client(f"http://127.0.0.1:{port}", device=device) as client:
        answers = [client.search(picture(1), options=Options(deadline_ms=10_000)) for _ in range(5)]
    assert all(answer.outcome is Outcome.FOUND for answer in answers)
    assert max(answer.attempts for answer in answers) > 1, "the case was not met"


def test_nine_thousand_queries_leave_the_memory_as_it_was(tiny_folder: Path) -> None:
    # In a process of its own: in this one a thousand tests have left their holes in the heap.
    words = [sys.executable, "-m", "support.many_queries", str(tiny_folder)]
    path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    said = subprocess.run(words, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=True)
    held = json.loads(said.stdout)
    # One object that stays from every tenth query would be 900, one of 256 bytes from every query 2.3 MB.
    assert held["more_objects"] < 500
    assert held["more_bytes"] < 2_000_000


def test_threads_share_a_client_with_a_cache(device) -> None:
    cloud = FakeCloud(device, {f"item/{n}": picture(n) for n in range(8)}, delay_ms=2)
    wrong: list[str] = []
    with Client("http://fake.test", device=device, transport=cloud, cache=AnswerCache()) as client:

        def ask(number: int) -> None:
            for turn in range(20):
                found = client.search(picture((number + turn) % 8)).matches[0].id
                if found != f"item/{(number + turn) % 8}":
                    wrong.append(found)

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong and cloud.requests < 80
