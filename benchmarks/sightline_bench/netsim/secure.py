"""TLS 1.3 over the kernel's TCP, one side in a namespace of its own: `python -m sightline_bench.netsim.secure`.

    secure serve FD PLAN         sends the certificate to trust over FD, answers until it is ended
    secure ask FD PLAN           gets it over FD, asks as the JSON plan says, prints the milliseconds as JSON

Messages are those of `endpoint`, sealed by OpenSSL. The chain is a leaf and one above it, with elliptic curves, made for the
run, and as large as the model takes it to be.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import sys
import time

import trustme

from sightline_bench.netsim.endpoint import HEAD, be, connected, exchange, receive, stream_socket, tune
from sightline_bench.netsim.tunnel import PORT, SERVICE

NAME = "service.sightline.test"
# Names that nobody asks for: they fill the chain up to the 1,900 bytes of stack.py.
FILLING = tuple(f"host-{number:03}.sightline.test" for number in range(32))
MAX_PEM_BYTES = 4000
PAUSE_S = 0.05


def server_context() -> tuple[ssl.SSLContext, str]:
    """Return what the service's side presents, and the certificate that the phone's side has to trust, as PEM."""
    kind = trustme.KeyType.ECDSA
    root = trustme.CA(key_type=kind)
    leaf = root.create_child_ca(key_type=kind).issue_cert(NAME, *FILLING, key_type=kind)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    leaf.configure_cert(context)
    return context, root.cert_pem.bytes().decode()


def serve(control: socket.socket) -> None:
    context, trusted = server_context()
    control.sendall(trusted.encode())
    with stream_socket() as listening:
        listening.bind((SERVICE, PORT))
        listening.listen(16)
        while True:
            plain, _ = listening.accept()
            tune(plain)
            with contextlib.suppress(OSError, EOFError), context.wrap_socket(plain, server_side=True) as connection:
                while True:
                    up_bytes, down_bytes = HEAD.unpack(receive(connection, HEAD.size))
                    receive(connection, up_bytes - HEAD.size)
                    connection.sendall(bytes(down_bytes))


def ask(control: socket.socket, plan: dict[str, list[int]]) -> dict[str, list[float]]:
    """Return for `cold`, `resumed` and `warm` and each of `plan["sizes"]` the milliseconds of `plan["n"]` exchanges."""
    context = ssl.create_default_context(cadata=control.recv(MAX_PEM_BYTES).decode())
    (n,), (down_bytes,) = plan["n"], plan["down_bytes"]
    found: dict[str, list[float]] = {}
    for size in plan["sizes"]:
        for _ in range(n):
            began = time.perf_counter()
            with _sealed(context, None) as connection:
                exchange(connection, size, down_bytes)
                found.setdefault(f"cold {size}", []).append(1000 * (time.perf_counter() - began))
                ticket = connection.session
            began = time.perf_counter()
            with _sealed(context, ticket) as connection:
                exchange(connection, size, down_bytes)
                found.setdefault(f"resumed {size}", []).append(1000 * (time.perf_counter() - began))
                if not connection.session_reused:
                    raise EOFError("the ticket was not taken")
            with _sealed(context, None) as connection:
                exchange(connection, HEAD.size, 1)  # the round trip becomes known
                time.sleep(PAUSE_S)  # and acknowledged
                began = time.perf_counter()
                exchange(connection, size, down_bytes)
                found.setdefault(f"warm {size}", []).append(1000 * (time.perf_counter() - began))
    return found


def _sealed(context: ssl.SSLContext, ticket: ssl.SSLSession | None) -> ssl.SSLSocket:
    return context.wrap_socket(connected(), server_hostname=NAME, session=ticket)


if __name__ == "__main__":
    be(serve, ask, *sys.argv[1:])
