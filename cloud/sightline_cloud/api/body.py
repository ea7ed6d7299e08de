"""Reads request bodies with a cap that holds whatever the headers claim."""

from __future__ import annotations

import asyncio

from starlette.requests import Request

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
    settings = engine_of(request).settings
    patience = Patience(settings.header_seconds, settings.body_seconds)
    chunks: list[bytes] = []
    size_bytes, more = 0, True
    try:
        async with asyncio.timeout(patience.for_body(0)) as limit:
            while more:
                # Not `request.stream()`: three generators for the one piece that a query comes in.
                message = await request.receive()
                if message["type"] == "http.disconnect":
                    raise BodyMalformed("request body: the caller went away before it was whole.")
                chunks.append(message.get("body", b""))
                size_bytes, more = size_bytes + len(chunks[-1]), message.get("more_body", False)
                if size_bytes > cap:
                    raise BodyTooLarge(f"request body: expected at most {cap} bytes, got more.")
                if more:
                    more_seconds = patience.for_body(len(chunks[-1])) - patience.for_body(0)
                    limit.reschedule((limit.when() or 0.0) + more_seconds)
    except TimeoutError as error:
        raise BodyTooSlow(f"request body: expected all of it in time, got {size_bytes} bytes.") from error
    return b"".join(chunks)
