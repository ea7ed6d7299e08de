"""Every error leaves as the error tree's body: msgpack from /v1/search and to whoever accepts it, else JSON."""

from __future__ import annotations

import math
from typing import Any

import msgpack
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sightline_shared.errors import ServiceError, SightlineError
from sightline_shared.protocol import MEDIA_TYPE


def respond(request: Request, error: SightlineError, *, status: int | None = None) -> Response:
    """Return the response for `error`."""
    body = {**error.to_dict(), "request_id": error.request_id or request.state.request_id}
    headers = {"www-authenticate": "Bearer"} if error.http_status == 401 else {}
    if isinstance(error, ServiceError) and error.retry_after_s is not None:
        headers["retry-after"] = str(math.ceil(error.retry_after_s))
    chosen = status or error.http_status
    if request.url.path == "/v1/search" or MEDIA_TYPE in request.headers.get("accept", ""):
        return Response(msgpack.packb(body), chosen, headers, MEDIA_TYPE)
    return JSONResponse(body, chosen, headers)


async def on_sightline_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, SightlineError)
    request.state.error_code = error.code
    return respond(request, error)


async def on_http_error(request: Request, error: Exception) -> Response:
    """Turn the framework's own refusals (no such path, wrong method) into our body."""
    assert isinstance(error, HTTPException)
    wrapped = SightlineError(
        f"{request.method} {request.url.path}: {error.detail}.", hint="GET /docs lists what is here."
    )
    body: dict[str, Any] = {**wrapped.to_dict(), "code": "E_INPUT", "request_id": request.state.request_id}
    return JSONResponse(body, error.status_code, dict(error.headers or {}))
