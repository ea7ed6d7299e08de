"""What came of each request: the words that the benchmark counts."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass

import msgpack
import numpy as np
from numpy.typing import NDArray

from sightline_bench.load.generator import BROKEN, GONE, Shots
from sightline_cloud.pressure import Level
from sightline_shared.errors import BY_CODE, AnswerMalformed, ProtocolError, ServiceBusy
from sightline_shared.protocol import Decision, unpack_answer

OK = 200
SHEDDING = (429, 503)


class Outcome(enum.IntEnum):
    """GOOD: a whole answer within the deadline. LATE came after it, GONE did not come while it was waited for."""

    GOOD = 0
    PARTIAL = 1
    LATE = 2
    SHED = 3
    ERROR = 4
    GONE = 5

    @property
    def label(self) -> str:
        return self.name.lower()


@dataclass(frozen=True)
class Reply:
    """What the benchmark wants of an answer: ids in order, whether it is whole, how far the service had degraded, its decision."""

    ids: tuple[str, ...]
    partial: bool = False
    degraded: int = 0
    decision: Decision | None = None


# Reads the body of an answer to request i; raises AnswerMalformed or ProtocolError.
Read = Callable[[bytes, int], Reply]


def read_sightline(body: bytes, request_id: bytes) -> Reply:
    """Read an answer of the service, as the device does; raises ProtocolError, AnswerMalformed for another request's."""
    answer = unpack_answer(body)
    if answer.request_id != request_id:
        raise AnswerMalformed(f"answer: expected request id {request_id.hex()}, got {answer.request_id.hex()}.")
    ids = tuple(match.id for match in answer.matches)
    level = _level(answer.versions.get("degraded", "0"))
    return Reply(ids, answer.partial, level, answer.decision)


def judged(shots: Shots, read: Read, deadline_s: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the Outcome of each request, and the degrade level that its answer names, 0 where there is none.

    The deadline counts from when the request was due, not from when it was sent.
    """
    outcomes, levels = np.empty(len(shots.due), np.int64), np.zeros(len(shots.due), np.int64)
    late = shots.done - shots.due > deadline_s
    for shot, (status, body, pick) in enumerate(
        zip(shots.status.tolist(), shots.bodies, shots.picks.tolist(), strict=True)
    ):
        if status == OK:
            outcomes[shot], levels[shot] = _answered(body, pick, read, bool(late[shot]))
        else:
            outcomes[shot] = _unanswered(status, body)
    return outcomes, levels


def _answered(body: bytes, pick: int, read: Read, late: bool) -> tuple[Outcome, int]:
    try:
        reply = read(body, pick)
    except (AnswerMalformed, ProtocolError):
        return Outcome.ERROR, 0
    if late:
        return Outcome.LATE, reply.degraded
    return Outcome.PARTIAL if reply.partial else Outcome.GOOD, reply.degraded


def _unanswered(status: int, body: bytes) -> Outcome:
    if status == GONE:
        return Outcome.GONE
    if status == BROKEN or status not in SHEDDING:
        return Outcome.ERROR
    # A 503 may also say that shards or the store are gone: that is no shedding. A web server's own has no code.
    kind = BY_CODE.get(_code(body), ServiceBusy)
    return Outcome.SHED if issubclass(kind, ServiceBusy) else Outcome.ERROR


def _code(body: bytes) -> str:
    try:
        fields = msgpack.unpackb(body)
    except (ValueError, msgpack.exceptions.ExtraData):
        return ""
    return str(fields.get("code", "")) if isinstance(fields, dict) else ""


def _level(step: str) -> int:
    """Return the step of the degrade ladder that an answer names; one that this version does not know is the first."""
    return int(step) if step.isascii() and step.isdecimal() and int(step) < len(Level) else int(Level.NO_EXTRAS)
