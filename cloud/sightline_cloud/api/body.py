"""Reads request bodies with a cap that holds whatever the headers claim."""

from __future__ import annotations

from starlette.requests import ClientDisconnect, Request

from sightline_shared.errors import BodyMalformed, BodyTooLarge


async def read_capped(request: Request, cap: int) -> bytes:
    """Return the request's body of at most `cap` bytes; raises BodyTooLarge before more than that is held."""
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > cap:
        raise BodyTooLarge(f"request body: expected at most {cap} bytes, got {declared}.")
    body = bytearray()
    try:
        async for chunk in request.stream():
            if len(body) + len(chunk) > cap:
                raise BodyTooLarge(f"request body: expected at most {cap} bytes, got more.")
            body += chunk
    except ClientDisconnect as error:
        raise BodyMalformed("request body: the caller went away before it was whole.") from error
    return bytes(body)
