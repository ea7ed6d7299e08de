"""How long the web server waits for a caller: for the head of a request, for its body, and for the answer to be read.

uvicorn waits for ever, and holds any number of headers. So it would take one machine that sends a byte a minute over a
thousand connections to keep everybody else out.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 64 * 1024
# A body may take longer by the time that this rate takes for what has come: uploads over slow networks go through.
MIN_BYTES_PER_SECOND = 32 * 1024
# A body that is late is refused by the handler that waits for it (api/body.py); so much later the connection is closed.
BACKSTOP_SECONDS = 10
# What still comes of a body after its request was answered is thrown away, so long and so much of it, before the connection
# is closed: to close it at once would lose the answer on its way.
LINGER_SECONDS = 2
LINGER_BYTES = 1024 * 1024
# A caller that reads nothing of its answer for so long is cut off.
READ_SECONDS = 30


@dataclass(frozen=True)
class Patience:
    """Seconds for a request's head, and for its body over what MIN_BYTES_PER_SECOND allows."""

    head_seconds: float
    body_seconds: float

    def for_body(self, received: int) -> float:
        """Return how long a body may take of which so many bytes have come."""
        return self.body_seconds + received / MIN_BYTES_PER_SECOND


class PatientProtocol(HttpToolsProtocol):
    """uvicorn's protocol, which closes the connections of those who let it wait, without a word."""

    patience: Patience
    _timer: asyncio.TimerHandle | None = None
    _reading: asyncio.TimerHandle | None = None
    _received = 0
    _in_head = False
    _in_body = False
    _most = 0  # bytes of the body after which the connection is closed, 0 while somebody reads it

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait(self.patience.head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        self._set_reading(None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        super().data_received(data)
        if self._in_head and self._received > MAX_HEAD_BYTES:
            self.send_400_response("Request head too large.")
        if self._in_body and 0 < self._most < self._received:
            self.transport.abort()
        if not (self._in_head or self._in_body or self._timer or self._answering()):
            self._wait(self.patience.head_seconds)  # for a request that blank lines do not begin

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._received = True, 0
        self._wait(self.patience.head_seconds)

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._in_head, self._in_body, self._received, self._most = False, True, 0, 0
        self._wait(self.patience.for_body(0) + BACKSTOP_SECONDS)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._in_body = False
        self._stop()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._in_body:
            self._most = self._received + LINGER_BYTES
            self._wait(LINGER_SECONDS)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._set_reading(self.loop.call_later(READ_SECONDS, self.transport.abort))

    def resume_writing(self) -> None:
        super().resume_writing()
        self._set_reading(None)

    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _wait(self, seconds: float) -> None:
        self._stop()
        self._began = self.loop.time()
        self._timer = self.loop.call_later(seconds, self._is_late)

    def _is_late(self) -> None:
        self._timer = None
        if self._in_body and not self._most:
            allowed = self.patience.for_body(self._received) + BACKSTOP_SECONDS
            left = self._began + allowed - self.loop.time()
            if left > 0:
                self._timer = self.loop.call_later(left, self._is_late)
                return
        self.transport.abort()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set_reading(self, timer: asyncio.TimerHandle | None) -> None:
        if self._reading is not None:
            self._reading.cancel()
        self._reading = timer


def protocol_with(patience: Patience) -> Any:
    """Return the protocol class that waits so long."""
    return type("Protocol", (PatientProtocol,), {"patience": patience})
