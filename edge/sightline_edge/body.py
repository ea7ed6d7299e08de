"""Reading a response's body: no more than a cap, whatever the other side sends."""

from __future__ import annotations

import httpx

from sightline_edge.exchange import Reply, reply_of
from sightline_shared.errors import AnswerMalformed


async def read_reply(response: httpx.Response, most_bytes: int) -> Reply:
    """Return a streamed response with its body; raises AnswerMalformed for one that is compressed or too large."""
    # We asked for no compression; a compressed answer could grow past every cap while it is unpacked.
    encoding = response.headers.get("content-encoding", "identity")
    if encoding != "identity":
        raise AnswerMalformed(f"expected an answer without compression, got content-encoding {encoding!r}.")
    body = bytearray()
    async for chunk in response.aiter_bytes():
        if len(body) + len(chunk) > most_bytes:
            raise AnswerMalformed(f"expected an answer of at most {most_bytes} bytes, got more.")
        body += chunk
    return reply_of(response, bytes(body))
