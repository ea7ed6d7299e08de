"""A service in memory, for the tests of apps: real answers from a few pictures, and every kind of trouble on demand.

    cloud = FakeCloud(device, {"milk-1": "milk.jpg", "oat-2": "oat.jpg"}, delay_ms=80)
    with Client("http://fake.test", device=device, transport=cloud) as client:
        cloud.will(unreachable(), busy(retry_after_s=1), late(400), partial(), garbage())
        ...
    cloud.queries  # what was sent

Nothing here listens on a port; the client's own code runs as it does in an app.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

import httpx
import msgpack
import numpy as np

from sightline_edge.device import Device
from sightline_edge.rerank import unit
from sightline_shared.decision import decide
from sightline_shared.errors import BodyMalformed, FilterInvalid, ProtocolUnknown, SightlineError
from sightline_shared.preprocess import Frame, load_image, to_tensor
from sightline_shared.protocol import MEDIA_TYPE, Answer, Decision, Match, Query, pack_answer, unpack_query

# What it says of a sensitive subject that it is asked about; it has no authoritative sources.
DISCLAIMER = "This question cannot be answered here."

Reply = Callable[["FakeCloud", httpx.Request], Awaitable[httpx.Response]]


class FakeCloud(httpx.AsyncBaseTransport):
    """A service that holds `photos` (id to frame) with their `metadata`, and takes `delay_ms` for every answer.

    `queries` are those that it could read, in order; `requests` counts all. `index` is the catalogue's position that
    its answers name: raise it to make a client's cached answers stale.
    """

    def __init__(
        self,
        device: Device,
        photos: Mapping[str, Frame],
        *,
        metadata: Mapping[str, Mapping[str, Any]] | None = None,
        delay_ms: float = 0.0,
    ) -> None:
        self._device, self._delay_ms = device, delay_ms
        self._ids = list(photos)
        self._metadata = dict(metadata or {})
        size = device.bundle.manifest.input_size
        rows = [device.runtime.embed(to_tensor(load_image(photo), size)[np.newaxis])[0] for photo in photos.values()]
        self._vectors = np.array(rows, np.float32).reshape(len(rows), device.codec.dim)
        self._codes = device.codec.encode(self._vectors) if rows else np.empty((0, device.codec.code_size), np.uint8)
        self._script: deque[Reply] = deque()
        self.queries: list[Query] = []
        self.requests = 0
        self.index = 1

    def will(self, *replies: Reply) -> None:
        """Have the next requests answered so, one each; those after them are answered well again."""
        self._script.extend(replies)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        self.requests += 1
        if self._delay_ms:
            await asyncio.sleep(self._delay_ms / 1000)
        return await (self._script.popleft() if self._script else _well)(self, request)

    def answer(self, request: httpx.Request) -> Answer:
        """Return the answer to a query by exact search; raises what a service refuses."""
        query = unpack_query(request.content)
        self.queries.append(query)
        if query.sensitive_scores:
            versions = {"bundle": self._device.bundle.label, "index": str(self.index)}
            return Answer(query.request_id, Decision.RESTRICTED, versions=versions, disclaimer=DISCLAIMER)
        codes = np.frombuffer(b"".join(query.codes), np.uint8).reshape(len(query.codes), -1)
        wanted = [row for row, name in enumerate(self._ids) if query.where.passes(self._metadata.get(name, {}))]
        cosines = unit(self._device.codec.decode(codes)) @ self._vectors[wanted].T
        best = sorted(
            ((float(cosines[:, column].max()), row, column) for column, row in enumerate(wanted)), reverse=True
        )[: query.k]
        matches = tuple(
            Match(
                self._ids[row], score, self._metadata.get(self._ids[row], {}), int(cosines[:, column].argmax()),
                self._codes[row].tobytes(),
            )
            for score, row, column in best
        )  # fmt: skip
        nearest = matches[0].score if matches else -1.0
        decision, reasons = decide(nearest, self._device.bundle.manifest.decision)
        versions = {"bundle": self._device.bundle.label, "index": str(self.index)}
        shown = () if decision is Decision.NOT_FOUND else matches
        return Answer(query.request_id, decision, shown, reasons, versions=versions)


def late(delay_ms: float) -> Reply:
    """Answer well, but so much later."""

    async def reply(cloud: FakeCloud, request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(delay_ms / 1000)
        return await _well(cloud, request)

    return reply


def partial(reason: str = "shard 1 was later than the deadline") -> Reply:
    """Answer with what was searched in time."""

    async def reply(cloud: FakeCloud, request: httpx.Request) -> httpx.Response:
        return _packed(replace(cloud.answer(request), partial=True, reasons=(reason,)))

    return reply


def unreachable() -> Reply:
    """Refuse the connection."""

    async def reply(cloud: FakeCloud, request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("connection refused", request=request)

    return reply


def busy(*, retry_after_s: int | None = None, status: int = 503) -> Reply:
    """Say 503, or 429, and when to come back."""

    async def reply(cloud: FakeCloud, request: httpx.Request) -> httpx.Response:
        headers = {} if retry_after_s is None else {"retry-after": str(retry_after_s)}
        return httpx.Response(status, headers=headers, request=request)

    return reply


def refusing(error: SightlineError) -> Reply:
    """Refuse with an error of ours, such as KeyUnknown("...") or VersionMismatch("...")."""

    async def reply(cloud: FakeCloud, request: httpx.Request) -> httpx.Response:
        return httpx.Response(error.http_status, content=msgpack.packb(error.to_dict()), request=request)

    return reply


def garbage(body: bytes = b"<html>Welcome to the hotel's network</html>") -> Reply:
    """Answer 200 with something that is no answer, as a captive portal does."""

    async def reply(cloud: FakeCloud, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=body, request=request)

    return reply


async def _well(cloud: FakeCloud, request: httpx.Request) -> httpx.Response:
    if request.method != "POST":
        return httpx.Response(200, request=request)
    try:
        return _packed(cloud.answer(request))
    except (BodyMalformed, FilterInvalid, ProtocolUnknown) as error:
        return await refusing(error)(cloud, request)


def _packed(answer: Answer) -> httpx.Response:
    return httpx.Response(200, content=pack_answer(answer), headers={"content-type": MEDIA_TYPE})
