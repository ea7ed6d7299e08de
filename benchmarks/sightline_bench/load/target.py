"""What is put under load: a process of its own, on a core of its own where there are two."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sightline_bench.load.generator import Address
from sightline_bench.load.http1 import Reader, Response
from sightline_bench.load.outcome import OK, Read
from sightline_shared.errors import ServiceFailed

START_S, STOP_S, ANSWER_S = 120.0, 30.0, 30.0
POLL_S = 0.05
LAST_WORDS = 2000
SERVE = "import sys; from sightline_shared.cli import main; sys.exit(main(sys.argv[1:]))"
_WHERE = re.compile(r" serves .*?on http://([0-9.]+):(\d+)(?=\D)")


class Server:
    """A process that says on stderr where it serves; it runs from `with` to its end."""

    def __init__(self, name: str, arguments: Sequence[str], core: int | None) -> None:
        self.name = name
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  closed by __exit__
        self._process = subprocess.Popen(  # noqa: S603  our own interpreter
            [sys.executable, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self._said
        )
        if core is not None:
            os.sched_setaffinity(self._process.pid, {core})  # before it has threads: they inherit it

    def __enter__(self) -> Server:
        try:
            self.address = self._wait_for_address()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._said.close()

    def cpu_s(self) -> float:
        """Return the CPU seconds of all its threads so far; NaN on systems that keep no such clock."""
        try:
            # What clock_getcpuclockid(3) returns on Linux: to the nanosecond, where /proc counts in ticks of 10 ms.
            return time.clock_gettime((~self._process.pid << 3) | 2)
        except OSError:
            return float("nan")

    def _wait_for_address(self) -> Address:
        give_up = time.monotonic() + START_S
        while time.monotonic() < give_up and self._process.poll() is None:
            if found := _WHERE.search(self._words()):
                return found[1], int(found[2])
            time.sleep(POLL_S)
        raise ServiceFailed(f"{self.name} did not start: {self._words()[-LAST_WORDS:].strip() or 'it said nothing'}")

    def _words(self) -> str:
        # pread: the process writes at the same open file's end.
        return os.pread(self._said.fileno(), 1 << 20, 0).decode(errors="replace")


def service(folder: Path, bundle: Path, core: int | None) -> Server:
    """Return the service itself, started by its own command."""
    words = ["-c", SERVE, "serve", "--data", str(folder), "--bundle", str(bundle), "--host", "127.0.0.1", "--port", "0"]
    return Server("the service", words, core)


def plain(folder: Path, bundle: Path, core: int | None) -> Server:
    """Return the plain handler over a copy of the data folder."""
    return Server("the plain handler", ["-m", "sightline_bench.load.plain", str(folder), str(bundle)], core)


@dataclass(frozen=True)
class Target:
    """A server with the requests that are sent to it, and how its answers are read."""

    name: str
    server: Server
    requests: tuple[bytes, ...]
    read: Read


def one_by_one(address: Address, requests: Sequence[bytes]) -> list[tuple[Response, float]]:
    """Send each request when the one before is answered; returns the answers, and milliseconds each took.

    The first of them waits until the server listens. Raises ServiceFailed.
    """
    reader, answers = Reader(), []
    try:
        with socket.create_connection(address, timeout=ANSWER_S) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for request in requests:
                began = time.perf_counter()
                sock.sendall(request)
                response = None
                while response is None:
                    response = reader.feed(_some(sock))
                answers.append((response, 1000 * (time.perf_counter() - began)))
    except OSError as error:
        raise ServiceFailed(f"{address[0]}:{address[1]}: expected an answer, got '{error}'.") from error
    return answers


def settled(target: Target, limit_s: float) -> bool:
    """Return whether the server answers undegraded, asked now and then for so long at most: the last run may have left it degraded."""
    give_up = time.monotonic() + limit_s
    while time.monotonic() < give_up:
        (response, _), *_ = one_by_one(target.server.address, target.requests[:1])
        if response.status == OK and not target.read(response.body, 0).degraded:
            return True
        time.sleep(POLL_S)
    return False


def _some(sock: socket.socket) -> bytes:
    data = sock.recv(64 * 1024)
    if not data:
        raise ConnectionResetError("closed by the server")
    return data
