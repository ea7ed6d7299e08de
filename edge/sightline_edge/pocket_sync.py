"""Brings a pocket index up to date: one call, and a second one for the whole file should a delta not fit."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import httpx

from sightline_edge import exchange
from sightline_edge.body import read_reply
from sightline_edge.config import Options
from sightline_edge.exchange import Reply
from sightline_edge.pocket import PocketIndex
from sightline_shared.errors import ServiceTimeout
from sightline_shared.pocket_file import MAX_FILE_BYTES
from sightline_shared.protocol import MAX_DEADLINE_MS

NOT_CHANGED = 304


@dataclass(frozen=True)
class Synced:
    """What a sync did: `bytes_down` are the bodies that came, `calls` how often the service was asked."""

    changed: bool
    items: int
    version: str
    bytes_down: int
    calls: int


async def sync(index: PocketIndex, http: httpx.AsyncClient, url: str, *, deadline_ms: int = MAX_DEADLINE_MS) -> Synced:
    """Bring `index` up to date from the service at `url`; `http` has the headers with the API key.

    Raises ServiceError, AccessError, VersionMismatch, PocketUnusable; the index then stays as it was.
    """
    options = Options(deadline_ms=deadline_ms)
    try:
        async with asyncio.timeout(deadline_ms / 1000):
            return await _sync(index, http, url)
    except TimeoutError as error:
        raise ServiceTimeout(f"{url}: the pocket index was still arriving after {deadline_ms} ms.") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise exchange.transport_error(error, url, options) from error


async def _sync(index: PocketIndex, http: httpx.AsyncClient, url: str) -> Synced:
    before, received, calls, done = index.version, 0, 0, False
    while not done:  # twice at most: the whole file either fits or is refused
        reply = await _get(http, url + index.sync_request())
        calls += 1
        received += len(reply.body)
        if reply.status not in (200, NOT_CHANGED):
            raise exchange.error_of(reply)
        # A file is hashed and written: not in the event loop.
        done = reply.status == NOT_CHANGED or await asyncio.to_thread(index.apply, reply.body)
    return Synced(index.version != before, len(index), index.version, received, calls)


async def _get(http: httpx.AsyncClient, url: str) -> Reply:
    async with http.stream("GET", url, timeout=MAX_DEADLINE_MS / 1000) as response:
        return await read_reply(response, MAX_FILE_BYTES)
