"""One exchange with the service without any I/O: build the request, read the response. Both clients use it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

import httpx
import msgpack

import sightline_shared
from sightline_edge.answer import Answer, Outcome
from sightline_edge.config import Options
from sightline_edge.device import Device
from sightline_edge.pipeline import Observation
from sightline_edge.rerank import rerank
from sightline_shared.budget import Budget
from sightline_shared.errors import (
    AnswerMalformed,
    ProtocolError,
    ServiceBusy,
    ServiceError,
    ServiceFailed,
    ServiceTimeout,
    ServiceUnreachable,
    SightlineError,
    from_dict,
)
from sightline_shared.protocol import (
    MEDIA_TYPE,
    REQUEST_ID_BYTES,
    Query,
    pack_query,
    unpack_answer,
)
from sightline_shared.where import Where

SEARCH_PATH = "/v1/search"


@dataclass(frozen=True)
class Reply:
    """A response as it came: status, the bytes of its status line and headers, body (capped)."""

    status: int
    head_bytes: int
    body: bytes


def headers(api_key: str | None) -> dict[str, str]:
    """Return the headers of every request; no compression, since codes do not compress."""
    fields = {
        "accept": MEDIA_TYPE,
        "accept-encoding": "identity",
        "content-type": MEDIA_TYPE,
        "user-agent": f"sightline/{sightline_shared.__version__}",
    }
    return {**fields, "authorization": f"Bearer {api_key}"} if api_key else fields


def local_answer(seen: Observation, budget: Budget) -> Answer | None:
    """Return the device's own answer when the frame goes no further, else None."""
    if seen.stop is None:
        return None
    return Answer(
        outcome=seen.stop,
        decided_by="device",
        reasons=(seen.reason,) if seen.reason else (),
        gate_score=seen.gate_score,
        sensitive_score=seen.sensitive_score,
        quality=seen.quality,
        stages_ms=dict(budget.stages_ms),
    )


def pack(seen: Observation, device: Device, where: Where, options: Options, budget: Budget) -> tuple[bytes, bytes]:
    """Return the request's body and its request id.

    Raises ServiceTimeout when the deadline has passed already, FilterInvalid when `where` does not fit the query.
    """
    if budget.exhausted:
        raise ServiceTimeout(
            f"the deadline of {options.deadline_ms} ms passed on the device, before anything was sent."
        )
    with budget.stage("pack"):
        request_id = os.urandom(REQUEST_ID_BYTES)
        query = Query(
            pairing_id=device.bundle.pairing.id,
            codes=(seen.code or b"",),
            request_id=request_id,
            k=options.k,
            deadline_ms=max(1, int(min(budget.left_ms, options.deadline_ms))),
            gate_scores=(seen.gate_score or 0.0,),
            where=where,
        )
        return pack_query(query), request_id


def head_bytes(first_line: int, raw_headers: Iterable[tuple[bytes, bytes]]) -> int:
    """Return the bytes of an HTTP/1.1 head: first line, `name: value` lines and the empty line, with line ends."""
    return first_line + 2 + sum(len(name) + len(value) + 4 for name, value in raw_headers) + 2


def read(
    reply: Reply,
    request: httpx.Request,
    request_id: bytes,
    seen: Observation,
    device: Device,
    options: Options,
    budget: Budget,
) -> Answer:
    """Return the answer in `reply`, re-ranked; raises the service's own error, or AnswerMalformed."""
    with budget.stage("unpack"):
        if reply.status != 200:
            raise error_of(reply)
        try:
            answer = unpack_answer(reply.body)
        except ProtocolError as error:
            raise AnswerMalformed(f"the service's answer could not be read: {error.message}") from error
        if answer.request_id != request_id:
            raise AnswerMalformed(
                f"expected the answer to request {request_id.hex()}, got one to {answer.request_id.hex()}."
            )
    matches = answer.matches
    if options.rerank and seen.embedding is not None and seen.code is not None:
        with budget.stage("rerank"):
            matches = rerank(matches, seen.embedding, seen.code, device.codec)
    request_line = len(request.method) + len(request.url.raw_path) + len("  HTTP/1.1")
    return Answer(
        outcome=Outcome(answer.decision.label),
        decided_by="cloud",
        matches=matches,
        reasons=(*answer.reasons, seen.reason) if seen.reason else answer.reasons,
        partial=answer.partial,
        request_id=request_id.hex(),
        code=seen.code,
        gate_score=seen.gate_score,
        sensitive_score=seen.sensitive_score,
        quality=seen.quality,
        stages_ms={**budget.stages_ms, **{f"cloud.{stage}": ms for stage, ms in answer.stages_ms.items()}},
        versions=answer.versions,
        body_bytes_up=len(request.content),
        body_bytes_down=len(reply.body),
        http_bytes_up=head_bytes(request_line, request.headers.raw) + len(request.content),
        http_bytes_down=reply.head_bytes + len(reply.body),
    )


def error_of(reply: Reply) -> SightlineError:
    """Return the error that a non-200 reply carries; whatever is not our own body becomes a ServiceError."""
    try:
        body = msgpack.unpackb(reply.body)
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException):
        body = None
    if isinstance(body, dict) and all(isinstance(part, str) for part in (*body, *body.values())) and "code" in body:
        return from_dict(body)
    kind: type[ServiceError] = {429: ServiceBusy, 503: ServiceBusy, 504: ServiceTimeout}.get(
        reply.status, ServiceFailed
    )
    return kind(f"the service answered HTTP {reply.status} with no Sightline error in it.")


def transport_error(error: httpx.HTTPError | httpx.InvalidURL, url: str, options: Options) -> SightlineError:
    """Return our error for one of httpx's."""
    if isinstance(error, httpx.TimeoutException):
        return ServiceTimeout(f"{url}: no answer within the deadline of {options.deadline_ms} ms.")
    if isinstance(error, httpx.RemoteProtocolError | httpx.DecodingError):
        return AnswerMalformed(f"{url}: the other side does not speak HTTP as expected ({error}).")
    return ServiceUnreachable(f"{url}: {error or type(error).__name__}.")
