"""Sends requests when the schedule says, whatever became of those before, over as many kept connections as that takes.

One thread and plain sockets: asyncio's and uvloop's timers are rounded to a millisecond, as is the kernel's wait, so the last
millisecond before an arrival is spun away. Nothing is parsed here but HTTP; bodies are kept for later.
"""

from __future__ import annotations

import gc
import selectors
import socket
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sightline_bench.load.http1 import Reader, Response
from sightline_bench.load.schedule import Seconds
from sightline_shared.errors import AnswerMalformed

Address = tuple[str, int]
# Between the call and the schedule's beginning.
LEAD_S = 0.02
TICK_S = 1.0
CHUNK = 64 * 1024
# No answer: given up, or a connection that broke.
GONE, BROKEN = 0, -1


@dataclass(frozen=True, eq=False)
class Shots:
    """What became of every request; times are seconds from the schedule's beginning, `done` is NaN without an answer.

    `status` is HTTP's, or GONE or BROKEN; `size_bytes` what came down, heads included. `ticks` are the time and what `tick`
    said then, about once a second; `cpu_s` what sending and receiving took of this thread, waiting left out. `troubles`
    counts what broke connections.
    """

    due: Seconds
    picks: NDArray[np.int64]
    sent: Seconds
    done: Seconds
    status: NDArray[np.int64]
    size_bytes: NDArray[np.int64]
    bodies: list[bytes]
    ticks: list[tuple[float, float]] = field(default_factory=list)
    troubles: Counter[str] = field(default_factory=Counter)
    connections: int = 0
    cpu_s: float = 0.0


class _Connection:
    """A kept connection; `shot` is the request that it waits for, None when it waits for none."""

    __slots__ = ("reader", "shot", "sock", "unsent")

    def __init__(self, sock: socket.socket) -> None:
        self.sock, self.reader = sock, Reader()
        self.shot: int | None = None
        self.unsent = b""


def fire(
    address: Address,
    requests: Sequence[bytes],
    due: Seconds,
    picks: NDArray[np.int64],
    *,
    patience_s: float,
    tick: Callable[[], float] = float,
) -> Shots:
    """Send the whole HTTP request `requests[picks[i]]` at `due[i]` seconds, ascending; returns when nothing is waited for.

    Each answer is waited for until `patience_s` after the request's time, whenever it was sent. `tick` is asked once a second.
    """
    # A collection of rubbish would come at some arrival's time.
    gc.collect()
    gc.disable()
    try:
        with selectors.DefaultSelector() as selector:
            run = _Run(address, requests, due, picks, patience_s, tick, selector)
            cpu_s = run.loop()
            run.close()
    finally:
        gc.enable()
    columns = (np.array(column) for column in (run.sent, run.done, run.status, run.sizes))
    sent, done, status, sizes = columns
    return Shots(due, picks, sent, done, status, sizes, run.bodies, run.ticks, run.troubles, run.opened, cpu_s)


class _Run:
    """One schedule while it is fired; lists of floats, for numpy is slow one by one."""

    def __init__(
        self,
        address: Address,
        requests: Sequence[bytes],
        due: Seconds,
        picks: NDArray[np.int64],
        patience_s: float,
        tick: Callable[[], float],
        selector: selectors.BaseSelector,
    ) -> None:
        n = len(due)
        self._address, self._requests, self._patience_s, self._tick = address, requests, patience_s, tick
        self._selector = selector
        self._due, self._which = due.tolist(), picks.tolist()
        self.sent, self.done = [float("nan")] * n, [float("nan")] * n
        self.status, self.sizes, self.bodies = [GONE] * n, [0] * n, [b""] * n
        self.ticks: list[tuple[float, float]] = []
        self.troubles: Counter[str] = Counter()
        self.opened = self._next = 0
        self._idle: list[_Connection] = []
        self._flying: dict[int, _Connection] = {}
        self._oldest: deque[int] = deque()
        self._begin = time.perf_counter() + LEAD_S

    def loop(self) -> float:
        spent_s, tick_at = 0.0, 0.0
        while self._next < len(self._due) or self._flying:
            began_s = time.thread_time()
            now = time.perf_counter() - self._begin
            if now >= tick_at:
                self.ticks.append((now, self._tick()))
                tick_at += TICK_S
            worked = self._send_due(now) | self._give_up(now)
            events = self._selector.select(self._pause_s(tick_at))
            for key, mask in events:
                self._handle(key.data, mask)
            if worked or events:
                spent_s += time.thread_time() - began_s
        self.ticks.append((time.perf_counter() - self._begin, self._tick()))
        return spent_s

    def close(self) -> None:
        for key in list(self._selector.get_map().values()):
            key.data.sock.close()

    def _pause_s(self, tick_at: float) -> float:
        """Return how long to wait for answers at most: not past the next thing to do, which the rest of a millisecond is spun to."""
        until = tick_at
        if self._next < len(self._due):
            until = min(until, self._due[self._next])
        if self._oldest:
            until = min(until, self._due[self._oldest[0]] + self._patience_s)
        whole_ms = int((until - (time.perf_counter() - self._begin)) * 1000)
        # The selector rounds up to whole milliseconds.
        return (whole_ms - 0.5) / 1000 if whole_ms > 0 else 0.0

    def _send_due(self, now: float) -> bool:
        before = self._next
        while self._next < len(self._due) and self._due[self._next] <= now:
            self._send(self._next)
            self._next += 1
        return self._next > before

    def _send(self, shot: int) -> None:
        self.sent[shot] = time.perf_counter() - self._begin
        try:
            connection = self._idle.pop() if self._idle else self._connect()
        except OSError as error:
            self._fail(shot, error)
            return
        connection.shot, connection.unsent = shot, self._requests[self._which[shot]]
        self._flying[shot] = connection
        self._oldest.append(shot)
        self._flush(connection)

    def _connect(self) -> _Connection:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.connect_ex(self._address)
        connection = _Connection(sock)
        self._selector.register(sock, selectors.EVENT_READ, connection)
        self.opened += 1
        return connection

    def _flush(self, connection: _Connection) -> None:
        """Send what is left; wait for room, or for the connection to stand, when not all of it goes."""
        waited = bool(self._selector.get_key(connection.sock).events & selectors.EVENT_WRITE)
        try:
            connection.unsent = connection.unsent[connection.sock.send(connection.unsent) :]
        except BlockingIOError:
            pass
        except OSError as error:
            self._drop(connection, error)
            return
        if waited != bool(connection.unsent):
            writing = selectors.EVENT_WRITE if connection.unsent else 0
            self._selector.modify(connection.sock, selectors.EVENT_READ | writing, connection)

    def _handle(self, connection: _Connection, mask: int) -> None:
        if mask & selectors.EVENT_WRITE:
            self._flush(connection)
        if mask & selectors.EVENT_READ and connection.sock.fileno() >= 0:
            self._receive(connection)

    def _receive(self, connection: _Connection) -> None:
        try:
            data = connection.sock.recv(CHUNK)
            if not data:
                raise ConnectionResetError("closed by the server")
            response = connection.reader.feed(data)
        except BlockingIOError:
            return
        except (OSError, AnswerMalformed) as error:
            self._drop(connection, error)
            return
        if response:
            self._note(connection, response)

    def _note(self, connection: _Connection, response: Response) -> None:
        shot = connection.shot
        if shot is None:
            self._drop(connection, AnswerMalformed("HTTP: an answer that nobody asked for"))
            return
        self.done[shot] = time.perf_counter() - self._begin
        self.status[shot], self.sizes[shot], self.bodies[shot] = response.status, response.size_bytes, response.body
        del self._flying[shot]
        connection.shot = None
        if response.closes:
            self._close(connection)
        else:
            self._idle.append(connection)

    def _give_up(self, now: float) -> bool:
        """Close the connections whose answers nobody waits for any more, as an app does."""
        given_up = False
        while self._oldest and (
            self._oldest[0] not in self._flying or self._due[self._oldest[0]] + self._patience_s <= now
        ):
            shot = self._oldest.popleft()
            if connection := self._flying.pop(shot, None):
                self._close(connection)
                given_up = True
        return given_up

    def _drop(self, connection: _Connection, error: Exception) -> None:
        if connection.shot is not None:
            del self._flying[connection.shot]
            self._fail(connection.shot, error)
        else:
            self._idle.remove(connection)
        self._close(connection)

    def _fail(self, shot: int, error: Exception) -> None:
        self.status[shot] = BROKEN
        self.troubles[f"{type(error).__name__}: {error}"] += 1

    def _close(self, connection: _Connection) -> None:
        self._selector.unregister(connection.sock)
        connection.sock.close()
