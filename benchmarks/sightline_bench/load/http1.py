"""As much of HTTP/1.1 as a load generator needs: requests as bytes made beforehand, answers read from a stream of bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sightline_shared.errors import AnswerMalformed
from sightline_shared.protocol import MAX_ANSWER_BYTES

MAX_HEAD_BYTES = 16 * 1024
END_OF_HEAD = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Response:
    """One answer; `size_bytes` counts its head too, `closes` says that the server ends the connection after it."""

    status: int
    body: bytes
    size_bytes: int
    closes: bool


def request_bytes(host: str, path: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    """Return a POST of `body`, as an app's HTTP library would send it."""
    lines = [f"POST {path} HTTP/1.1", f"host: {host}", *(f"{name}: {value}" for name, value in headers.items())]
    lines += [f"content-length: {len(body)}"]
    return "\r\n".join(lines).encode() + END_OF_HEAD + body


class Reader:
    """Takes the bytes of one connection as they come, and gives whole answers."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._length = -1
        self._head_bytes = self._status = 0
        self._closes = False

    def feed(self, data: bytes) -> Response | None:
        """Return the answer that `data` completes, if it does.

        Raises AnswerMalformed for what is no answer, for one without a content-length, for one that is larger than any answer
        may be, and for bytes that follow it: nothing more was asked.
        """
        self._held += data
        if self._length < 0 and not self._read_head():
            return None
        size_bytes = self._head_bytes + self._length
        if len(self._held) < size_bytes:
            return None
        if len(self._held) > size_bytes:
            raise AnswerMalformed(f"HTTP: expected one answer, got {len(self._held) - size_bytes} bytes more.")
        response = Response(self._status, bytes(self._held[self._head_bytes :]), size_bytes, self._closes)
        self._held.clear()
        self._length = -1
        return response

    def _read_head(self) -> bool:
        end = self._held.find(END_OF_HEAD)
        if end < 0:
            if len(self._held) > MAX_HEAD_BYTES:
                raise AnswerMalformed(f"HTTP: expected a head of at most {MAX_HEAD_BYTES} bytes, got more.")
            return False
        first, *lines = bytes(self._held[:end]).decode("latin-1").split("\r\n")
        self._status = _status(first)
        fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = fields.get("content-length", "")
        if not (length.isascii() and length.isdigit()) or int(length) > MAX_ANSWER_BYTES:
            raise AnswerMalformed(f"HTTP: expected a content-length of at most {MAX_ANSWER_BYTES}, got {length!r:.40}.")
        self._length, self._head_bytes = int(length), end + len(END_OF_HEAD)
        self._closes = fields.get("connection", "").lower() == "close"
        return True


def _status(line: str) -> int:
    words = line.split(" ", 2)
    if len(words) < 2 or not words[0].startswith("HTTP/1.") or len(words[1]) != 3 or not words[1].isdecimal():
        raise AnswerMalformed(f"HTTP: expected a status line, got {line!r:.80}.")
    return int(words[1])
