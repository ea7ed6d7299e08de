"""Reads request bodies with a cap that holds whatever the headers claim."""

from __future__ import annotations

import anyio
from starlette.requests import ClientDisconnect, Request

from sightline_cloud.api.access import engine_of
from sightline_cloud.patience import Patience
from sightline_shared.errors import BodyMalformed, BodyTooLarge, BodyTooSlow


async def read_capped(request: Request, cap: int) -> bytes:
    """Return the request's body of at most `cap` bytes.

    Raises BodyTooLarge before more than that is held, BodyTooSlow when it does not come in time, and BodyMalformed when
    the caller goes away.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > cap:
        raise BodyTooLarge(f"request body: expected at most {cap} bytes, got {declared}.")
    settings, body = engine_of(request).settings, bytearray()
    patience = Patience(settings.header_seconds, settings.body_seconds)
    try:
        with anyio.fail_after(patience.for_body(0)) as limit:
            async for chunk in request.stream():
                if len(body) + len(chunk) > cap:
                    raise BodyTooLarge(f"request body: expected at most {cap} bytes, got more.")
                body += chunk
                limit.deadline += patience.for_body(len(chunk)) - patience.for_body(0)
    except TimeoutError as error:
        raise BodyTooSlow(f"request body: expected all of it in time, got {len(body)} bytes.") from error
    except ClientDisconnect as error:
        raise BodyMalformed("request body: the caller went away before it was whole.") from error
    return bytes(body)
