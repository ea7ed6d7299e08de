"""One side of a bare measurement of a link, in a namespace of its own: `python -m sightline_bench.netsim.probe`.

    probe serve FD PLAN          echoes datagrams, and answers requests over TCP until it is ended
    probe ask FD PLAN            measures round trips and long transfers as the JSON plan says, prints them as JSON

Descriptors go as in `endpoint`, and so does a request's head; an answer begins with how fast the request came.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
import threading
import time

from sightline_bench.netsim.endpoint import CHUNK, HEAD, be, connected, receive, stream_socket, tune
from sightline_bench.netsim.tunnel import PORT, SERVICE

# Bytes after the first piece that came, and the nanoseconds that they took.
REPORT = struct.Struct("!QQ")
EXCHANGE_BYTES = 64
# One after another, so that nothing of an exchange is still under way when the next begins.
PAUSE_S = 0.01
LOST_S = 10.0


def serve(control: socket.socket) -> None:
    with stream_socket() as listening, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as echoing:
        for sock in (listening, echoing):
            sock.bind((SERVICE, PORT))
        listening.listen(16)
        threading.Thread(target=_echo, args=(echoing,), daemon=True).start()
        control.sendall(b"!")
        while True:
            connection, _ = listening.accept()
            with connection, contextlib.suppress(OSError, EOFError):
                tune(connection)
                while True:
                    up_bytes, down_bytes = HEAD.unpack(receive(connection, HEAD.size))
                    report = arrival(connection, up_bytes - HEAD.size)
                    connection.sendall(REPORT.pack(*report) + bytes(down_bytes - REPORT.size))


def _echo(sock: socket.socket) -> None:
    while True:
        sock.sendto(*sock.recvfrom(CHUNK))


def arrival(sock: socket.socket, size_bytes: int) -> tuple[int, int]:
    """Receive so many bytes, one at least; returns how many came after the first piece, and the nanoseconds from then to the last."""
    left = size_bytes - len(_some(sock, size_bytes))
    after_bytes, began_ns = left, time.monotonic_ns()
    while left:
        left -= len(_some(sock, left))
    return after_bytes, time.monotonic_ns() - began_ns


def _some(sock: socket.socket, most_bytes: int) -> bytes:
    data = sock.recv(min(most_bytes, CHUNK))
    if not data:
        raise EOFError
    return data


def ask(control: socket.socket, plan: dict[str, list[int]]) -> dict[str, list[float]]:
    """Return `udp ms` and `tcp ms` of `plan["n"]` exchanges, and `down` and `up` Mbit/s of transfers.

    `plan["down"]` and `plan["up"]` are the bytes of each transfer; the first of a direction is not told: it widens the window.
    """
    control.recv(1)
    (n,) = plan["n"]
    found = {"udp ms": _datagrams(n), "tcp ms": _exchanges(n)}
    for way in ("down", "up"):
        with connected() as connection:
            found[way] = [_transfer(connection, way, size_bytes) for size_bytes in plan[way]][1:]
    return found


def _datagrams(n: int) -> list[float]:
    ms = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(LOST_S)
        sock.connect((SERVICE, PORT))
        for _ in range(n):
            began_ns = time.monotonic_ns()
            sock.send(bytes(EXCHANGE_BYTES))
            sock.recv(EXCHANGE_BYTES)
            ms.append((time.monotonic_ns() - began_ns) / 1e6)
            time.sleep(PAUSE_S)
    return ms


def _exchanges(n: int) -> list[float]:
    """Return the milliseconds of exchanges over one connection, the first of which is not told."""
    ms = []
    with connected() as connection:
        for _ in range(n + 1):
            began_ns = time.monotonic_ns()
            connection.sendall(HEAD.pack(EXCHANGE_BYTES, EXCHANGE_BYTES) + bytes(EXCHANGE_BYTES - HEAD.size))
            receive(connection, EXCHANGE_BYTES)
            ms.append((time.monotonic_ns() - began_ns) / 1e6)
            time.sleep(PAUSE_S)
    return ms[1:]


def _transfer(connection: socket.socket, way: str, size_bytes: int) -> float:
    """Return the megabits a second at which the receiving side got what came after its first piece."""
    if way == "down":
        connection.sendall(HEAD.pack(HEAD.size + 1, REPORT.size + size_bytes) + b"!")
        receive(connection, REPORT.size)
        after_bytes, took_ns = arrival(connection, size_bytes)
    else:
        connection.sendall(HEAD.pack(HEAD.size + size_bytes, REPORT.size) + bytes(size_bytes))
        after_bytes, took_ns = REPORT.unpack(receive(connection, REPORT.size))
    return 8000 * after_bytes / max(1, took_ns)


if __name__ == "__main__":
    be(serve, ask, *sys.argv[1:])
