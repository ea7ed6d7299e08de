"""Callers who send slowly, without end or too much lose their connection, and the others do not notice. Real sockets."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from support.asking import post, query
from support.service import Service

# What the service of these tests waits, and how long a test waits for it to stop waiting.
HEAD, BODY = 0.4, 0.6
GIVE_UP = 20.0


@pytest.fixture
def service(start) -> Service:
    begun = start(header_seconds=HEAD, body_seconds=BODY)
    assert begun.add(1).status_code == 200
    return begun


@contextmanager
def connected(service: Service) -> Iterator[socket.socket]:
    url = httpx.URL(service.url)
    with socket.create_connection((url.host, url.port)) as sock:
        sock.settimeout(0.05)
        yield sock


def head(service: Service, length: int, path: str = "/v1/search", key: str | None = None) -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key or service.key}\r\n"
        f"content-length: {length}\r\n\r\n"
    ).encode()


def until_closed(sock: socket.socket, drip: bytes = b"") -> bytes:
    """What came until the service closed the connection, while `drip` is sent every twentieth of a second."""
    came, give_up = b"", time.monotonic() + GIVE_UP
    while time.monotonic() < give_up:
        try:
            if drip:
                sock.sendall(drip)
            chunk = sock.recv(65536)
            if not chunk:
                return came
            came += chunk
        except TimeoutError:
            continue
        except OSError:
            return came
    raise AssertionError(f"the connection is still open after {GIVE_UP} s; it said {came!r:.200}")


def still_answers(service: Service) -> None:
    assert post(service, query(service, 1)).status_code == 200


def test_one_who_sends_nothing_is_let_go(service: Service) -> None:
    with connected(service) as sock:
        assert until_closed(sock) == b""
    still_answers(service)


@pytest.mark.parametrize("drip", [b"x-more: 1\r\n", b"x", b"\r\n"], ids=["headers", "one header", "blank lines"])
def test_a_head_without_end_is_cut_off_whatever_it_is_made_of(service: Service, drip: bytes) -> None:
    with connected(service) as sock:
        sock.sendall(b"" if drip == b"\r\n" else b"GET /healthz HTTP/1.1\r\nhost: x\r\n")
        until_closed(sock, drip)
    still_answers(service)


def test_blank_lines_after_an_answer_hold_no_connection(service: Service) -> None:
    with connected(service) as sock:
        sock.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        assert b'{"ok":true}' in until_closed(sock, b"\r\n")


def test_many_headers_at_once_are_refused_before_the_memory_is_full(start) -> None:
    service = start("patient", header_seconds=60)
    assert service.add(1).status_code == 200
    with connected(service) as sock:
        sock.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n")
        came = until_closed(sock, b"x: " + b"y" * 30_000 + b"\r\n")
    assert came == b"" or b"400 Bad Request" in came
    still_answers(service)


def test_a_body_that_trickles_is_refused_by_name_and_closed(service: Service) -> None:
    with connected(service) as sock:
        sock.sendall(head(service, 1000))
        came = until_closed(sock, b"\x81")
    assert b"408 Request Timeout" in came and b"E_BODY_TOO_SLOW" in came
    still_answers(service)


def test_an_upload_that_trickles_is_refused_and_nothing_is_stored(service: Service) -> None:
    with connected(service) as sock:
        sock.sendall(head(service, 1_000_000, "/v1/items"))
        assert b"E_BODY_TOO_SLOW" in until_closed(sock, b"\x83" * 100)
    assert service.engine.store.counts() == {"default": 1}


def test_a_body_that_is_refused_anyway_holds_no_connection_by_trickling_on(service: Service) -> None:
    with connected(service) as sock:
        sock.sendall(head(service, 1_000_000, key="sk_wrong"))
        assert b"401 Unauthorized" in until_closed(sock, b"\x81")
    with connected(service) as sock:
        sock.sendall(head(service, 10**9))
        assert b"413" in until_closed(sock, b"\x81")


def test_an_upload_over_a_slow_but_steady_network_goes_through(service: Service, monkeypatch) -> None:
    """Longer than `body_seconds`, at more than the slowest rate that is waited for: here one byte a second."""
    monkeypatch.setattr("sightline_cloud.patience.MIN_BYTES_PER_SECOND", 1)
    with connected(service) as sock:
        sock.sendall(head(service, 1000, "/v1/items"))
        began, sent = time.monotonic(), 0
        while time.monotonic() - began < 3 * BODY:
            sock.sendall(bytes(1))
            sent += 1
            with pytest.raises(TimeoutError):
                sock.recv(1)
        sock.sendall(bytes(1000 - sent))
        sock.settimeout(GIVE_UP)
        came = sock.recv(65536)
    assert b"E_BODY_MALFORMED" in came, "it was read to its end: zeros are no item"


def test_a_connection_that_is_kept_open_stays_open_between_requests(service: Service) -> None:
    ask = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"
    with connected(service) as sock:
        for _ in range(2):
            sock.sendall(ask)
            sock.settimeout(GIVE_UP)
            assert b'{"ok":true}' in sock.recv(65536)
            sock.settimeout(2 * HEAD)
            with pytest.raises(TimeoutError):
                sock.recv(1)


def test_wrong_keys_and_rates_are_answered_before_any_body_came(service: Service) -> None:
    slow = service.new_key("slow")
    service.engine.keys.limit("slow", {"per_second": 0.01, "burst": 1})
    assert post(service, query(service, 1), slow).status_code == 200
    for key, status in (("sk_wrong", b"401"), (slow, b"429")):
        with connected(service) as sock:
            sock.settimeout(GIVE_UP)
            sock.sendall(head(service, 1_000_000, "/v1/items", key))
            assert status in sock.recv(65536).split(b"\r\n")[0]


def test_what_comes_after_the_answer_is_taken_only_so_far(service: Service) -> None:
    """A caller without a key that goes on sending as fast as it can."""
    with connected(service) as sock:
        sock.settimeout(GIVE_UP)
        sock.sendall(head(service, 10**9, "/v1/items", "sk_wrong"))
        sent, came = 0, sock.recv(65536)
        with pytest.raises(OSError):
            while sent < 200_000_000:
                sock.sendall(bytes(65536))
                sent += 65536
    assert b"401 Unauthorized" in came and sent < 50_000_000


def test_a_thousand_idle_connections_keep_nobody_out_for_long(start) -> None:
    service = start("other", header_seconds=HEAD, max_connections=50)
    url = httpx.URL(service.url)
    idle = [socket.create_connection((url.host, url.port)) for _ in range(200)]
    try:
        give_up, statuses = time.monotonic() + GIVE_UP, []
        while time.monotonic() < give_up:
            try:
                statuses.append(httpx.get(service.url + "/healthz").status_code)
            except httpx.HTTPError:
                continue
            if statuses[-1] == 200:
                break
        assert statuses[-1] == 200
    finally:
        for sock in idle:
            sock.close()


def test_a_websocket_is_not_spoken_here(service: Service) -> None:
    upgrade = {
        "connection": "Upgrade",
        "upgrade": "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "x" * 24,
    }
    with service.http() as http:
        response = http.get("/v1/search", headers=upgrade)
    assert response.status_code == 405
