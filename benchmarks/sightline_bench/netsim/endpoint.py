"""One side of a connection over the kernel's TCP, in a namespace of its own: `python -m sightline_bench.netsim.endpoint`.

    endpoint serve FD PLAN       answers until it is ended
    endpoint ask FD PLAN         asks as the JSON plan says, then prints the milliseconds as JSON

The descriptor of the namespace's device goes back over the socket FD, and the other side begins when a byte comes from there.
A request says in its first eight bytes how long it is and how long its answer shall be (two unsigned big-endian integers).
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import sys
import time
from collections.abc import Callable

from sightline_bench.netsim.tunnel import PHONE, PORT, SERVICE, enter, hurried

HEAD = struct.Struct("!II")
CHUNK = 1 << 16


def serve(control: socket.socket) -> None:
    control.sendall(b"!")
    with stream_socket() as listening:
        listening.bind((SERVICE, PORT))
        listening.listen(16)
        while True:
            connection, _ = listening.accept()
            with connection, contextlib.suppress(OSError, EOFError):
                tune(connection)
                while True:
                    head = receive(connection, HEAD.size)
                    up_bytes, down_bytes = HEAD.unpack(head)
                    receive(connection, up_bytes - HEAD.size)
                    connection.sendall(bytes(down_bytes))


def ask(control: socket.socket, plan: dict[str, list[int]]) -> dict[str, list[float]]:
    """Return for `cold` and `warm` and each of `plan["sizes"]` the milliseconds of `plan["n"]` exchanges."""
    control.recv(1)
    (n,), (down_bytes,) = plan["n"], plan["down_bytes"]
    found: dict[str, list[float]] = {}
    for size in plan["sizes"]:
        for _ in range(n):
            began = time.perf_counter()
            with connected() as connection:
                exchange(connection, size, down_bytes)
                found.setdefault(f"cold {size}", []).append(1000 * (time.perf_counter() - began))
            with connected() as connection:
                exchange(connection, HEAD.size, 1)  # the round trip becomes known
                time.sleep(0.05)  # and acknowledged
                began = time.perf_counter()
                exchange(connection, size, down_bytes)
                found.setdefault(f"warm {size}", []).append(1000 * (time.perf_counter() - began))
    return found


def exchange(connection: socket.socket, up_bytes: int, down_bytes: int) -> None:
    connection.sendall(HEAD.pack(up_bytes, down_bytes) + bytes(up_bytes - HEAD.size))
    receive(connection, down_bytes)


def receive(connection: socket.socket, size: int) -> bytes:
    parts = []
    while size:
        part = connection.recv(min(size, CHUNK))
        if not part:
            raise EOFError
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def stream_socket() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    tune(sock)
    return sock


def connected() -> socket.socket:
    sock = stream_socket()
    sock.connect((SERVICE, PORT))
    return sock


def tune(sock: socket.socket) -> None:
    # The model's congestion control; another default would be compared with something else. Only sockets may choose it:
    # a namespace's own default may be none that the machine's owner has not allowed.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic")
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def be(
    serve: Callable[[socket.socket], None],
    ask: Callable[[socket.socket, dict[str, list[int]]], dict[str, list[float]]],
    role: str,
    control_fd: str,
    plan: str = "{}",
) -> None:
    """Be one side in a namespace of its own, as the module's command line says: `serve`, or `ask` and print what it returns."""
    with socket.socket(fileno=int(control_fd)) as control, hurried():
        asks = role == "ask"
        device = enter(PHONE, SERVICE) if asks else enter(SERVICE, PHONE)
        socket.send_fds(control, [b"d"], [device])
        if asks:
            sys.stdout.write(json.dumps(ask(control, json.loads(plan))))
        else:
            serve(control)


if __name__ == "__main__":
    be(serve, ask, *sys.argv[1:])
