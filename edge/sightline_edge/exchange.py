"""One exchange with the service without any I/O: build the request, read the response. Both clients use it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

import httpx
import msgpack
import numpy as np

import sightline_shared
from sightline_edge.answer import Answer, Outcome
from sightline_edge.config import Options
from sightline_edge.device import Device
from sightline_edge.pipeline import Observation
from sightline_edge.rerank import rerank
from sightline_shared.budget import Budget
from sightline_shared.errors import (
    AnswerMalformed,
    CertificateRefused,
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
    Decision,
    Query,
    pack_query,
    unpack_answer,
)
from sightline_shared.where import Where

SEARCH_PATH = "/v1/search"
MAX_RETRY_AFTER_S = 3600.0


@dataclass(frozen=True)
class Reply:
    """A response as it came: status, the bytes of its status line and headers, body (capped), Retry-After in seconds."""

    status: int
    head_bytes: int
    body: bytes
    retry_after_s: float | None = None


def headers(api_key: str | None) -> dict[str, str]:
    """Return the headers of every request; no compression, since codes do not compress."""
    fields = {
        "accept": MEDIA_TYPE,
        "accept-encoding": "identity",
        "content-type": MEDIA_TYPE,
        "user-agent": f"sightline/{sightline_shared.__version__}",
    }
    return {**fields, "authorization": f"Bearer {api_key}"} if api_key else fields


def pack(
    seen: Observation, device: Device, where: Where, options: Options, budget: Budget, text: str = ""
) -> tuple[bytes, bytes]:
    """Return the request's body and its request id.

    Raises ServiceTimeout when the deadline has passed already, FilterInvalid or InputError when `where` or `text`
    does not fit the query.
    """
    if budget.exhausted:
        raise ServiceTimeout(
            f"the deadline of {options.deadline_ms} ms passed on the device, before anything was sent."
        )
    with budget.stage("pack"):
        request_id = os.urandom(REQUEST_ID_BYTES)
        query = Query(
            pairing_id=device.bundle.pairing.id,
            codes=tuple(crop.code or b"" for crop in seen.sent),
            request_id=request_id,
            k=options.k,
            deadline_ms=max(1, int(min(budget.left_ms, options.deadline_ms))),
            gate_scores=tuple(crop.gate_score for crop in seen.sent),
            where=where,
            text=text,
            sensitive_scores=tuple(crop.sensitive_score for crop in seen.sent) if seen.restricted else (),
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
    """Return the answer in a reply of 200, re-ranked; raises AnswerMalformed."""
    sent = seen.sent
    with budget.stage("unpack"):
        try:
            answer = unpack_answer(reply.body)
        except ProtocolError as error:
            raise AnswerMalformed(f"the service's answer could not be read: {error.message}") from error
        if answer.request_id != request_id:
            raise AnswerMalformed(
                f"expected the answer to request {request_id.hex()}, got one to {answer.request_id.hex()}."
            )
        if not all(0 <= match.code_index < len(sent) for match in answer.matches):
            raise AnswerMalformed(f"expected matches of the {len(sent)} codes that were sent, got other indices.")
    if seen.restricted and answer.decision is not Decision.RESTRICTED:
        raise AnswerMalformed(f"expected a restricted answer about a sensitive subject, got '{answer.decision.label}'.")
    matches = answer.matches
    if options.rerank and answer.decision is not Decision.RESTRICTED:  # whose order is the service's word
        with budget.stage("rerank"):
            embeddings = np.stack([crop.embedding for crop in sent])
            matches = rerank(matches, embeddings, tuple(crop.code or b"" for crop in sent), device.codec)
    request_line = len(request.method) + len(request.url.raw_path) + len("  HTTP/1.1")
    return Answer(
        outcome=Outcome(answer.decision.label),
        decided_by="cloud",
        matches=matches,
        reasons=(*answer.reasons, seen.reason) if seen.reason else answer.reasons,
        partial=answer.partial,
        confidence=answer.confidence,
        disclaimer=answer.disclaimer,
        request_id=request_id.hex(),
        regions=tuple(crop.box for crop in sent),
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


def reply_of(response: httpx.Response, body: bytes) -> Reply:
    """Return what came."""
    status_line = len(f"HTTP/1.1 {response.status_code} {response.reason_phrase}")
    asked = response.headers.get("retry-after", "")
    # As seconds only: a date would need a clock that agrees with the service's.
    retry_after_s = min(float(asked), MAX_RETRY_AFTER_S) if asked.isascii() and asked.isdecimal() else None
    return Reply(response.status_code, head_bytes(status_line, response.headers.raw), body, retry_after_s)


def error_of(reply: Reply) -> SightlineError:
    """Return the error that a non-200 reply carries; whatever is not our own body becomes a ServiceError."""
    error = _error_of(reply)
    if isinstance(error, ServiceError):
        error.retry_after_s = reply.retry_after_s
    return error


def _error_of(reply: Reply) -> SightlineError:
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
    if isinstance(error, httpx.ConnectError) and "CERTIFICATE" in str(error):
        return CertificateRefused(f"{url}: {error}.")
    if isinstance(error, httpx.RemoteProtocolError) and "disconnected" in str(error):
        # A connection that was kept open, and that the service closed in the moment of sending.
        return ServiceUnreachable(f"{url}: {error}.")
    if isinstance(error, httpx.RemoteProtocolError | httpx.DecodingError):
        return AnswerMalformed(f"{url}: the other side does not speak HTTP as expected ({error}).")
    return ServiceUnreachable(f"{url}: {error or type(error).__name__}.")
