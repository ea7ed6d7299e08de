"""The ways to ask in earnest: the real client as an app uses it, and uploads with the same HTTP library to `uploads`."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import httpx

from sightline_bench.netsim.shots import FOREVER_MS, Shot
from sightline_bench.netsim.uploads import PHOTO_PATH, VECTOR_PATH, Embedding, packed_float, packed_int8
from sightline_edge import AnswerCache, AsyncClient, Box, Device, Options, PocketIndex
from sightline_edge.body import read_reply
from sightline_edge.exchange import head_bytes, headers
from sightline_edge.pipeline import observe
from sightline_edge.transport import LIMITS, WAKE_PATH
from sightline_shared.budget import Budget
from sightline_shared.errors import ServiceFailed
from sightline_shared.protocol import MAX_ANSWER_BYTES, unpack_answer

# For as long as an answer may take here; nothing is tried twice, for that would hide what was lost.
DEADLINE_MS = 30_000
OPTIONS = Options(deadline_ms=DEADLINE_MS, retries=0, hedge=False, crops=1)
PHOTO_BYTES = {"photo 40 KB": 40_000, "photo 120 KB": 120_000}
PACKERS: dict[str, Callable[[Embedding], bytes]] = {"float vector": packed_float, "int8 vector": packed_int8}
# Who has the last word; a query that another one decided is not this way to ask.
DECIDES = {"code": "cloud", "3 crops": "cloud", "racing": "cloud", "pocket": "pocket", "cached": "cache"}
WAYS = (*PHOTO_BYTES, *PACKERS, *DECIDES)
DEFAULT_WAYS = ("photo 40 KB", "code", "3 crops", "racing")
POCKETED = ("racing", "pocket")
# These send nothing when they are asked.
LOCAL = ("pocket", "cached")


@dataclass(frozen=True, eq=False)
class Phone:
    """What every query of a run has in common; `pocket` is None where no way needs one, `cubic` sets TCP's congestion control.

    `tls` is made once: to read all certificates takes a while, and every query has a client of its own here.
    """

    url: str
    key: str
    device: Device
    pocket: PocketIndex | None = None
    cubic: bool = False
    tls: ssl.SSLContext = field(default_factory=ssl.create_default_context)

    def transport(self) -> httpx.AsyncHTTPTransport:
        """Return a new transport, as the client's own but for the congestion control."""
        options = [(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic")] if self.cubic else []
        return httpx.AsyncHTTPTransport(verify=self.tls, limits=LIMITS, socket_options=options)


@dataclass(frozen=True)
class Answered:
    """One query's milliseconds from when it was wanted, its bytes with heads, and how many codes it had.

    `round_trip_ms` is what the service and the way to it took, 0 for an answer of the device's own.
    """

    first_ms: float
    final_ms: float
    round_trip_ms: float
    up_bytes: int
    down_bytes: int
    codes: int


class Way(Protocol):
    """One query: `open` is everything before it, False when that failed; `ask` is the query, None when it was decided elsewhere.

    Both raise a SightlineError or one of httpx's where there is no answer.
    """

    async def open(self) -> bool: ...

    async def ask(self, due_ns: int) -> Answered | None: ...

    async def close(self) -> None: ...


def way_of(name: str, phone: Phone, shot: Shot, *, warm: bool) -> Way:
    """Return a new query of the way `name`."""
    return ByClient(name, phone, shot, warm=warm) if name in DECIDES else ByUpload(name, phone, shot, warm=warm)


class ByClient:
    """The real client, unchanged."""

    def __init__(self, name: str, phone: Phone, shot: Shot, *, warm: bool) -> None:
        self._name, self._shot, self._warm = name, shot, warm
        self._client = AsyncClient(
            phone.url,
            api_key=phone.key,
            device=phone.device,
            options=replace(OPTIONS, pocket_settles=name == "pocket"),
            cache=AnswerCache() if name == "cached" else None,
            pocket=phone.pocket if name in POCKETED else None,
            transport=phone.transport(),
        )

    async def open(self) -> bool:
        if self._name == "cached":
            return not (await self._client.search(self._shot.photo)).trouble
        return not self._warm or await self._client.wake() is not None

    async def ask(self, due_ns: int) -> Answered | None:
        regions = [Box(*region) for region in self._shot.regions] if self._name == "3 crops" else []
        came_ms: list[float] = []
        async for answer in self._client.stream(self._shot.photo, regions=regions):
            came_ms.append(since_ms(due_ns))
            last = answer
        if last.trouble:
            raise ServiceFailed(f"the service could not be asked: {last.trouble}.")
        if last.decided_by != DECIDES[self._name]:
            return None
        trip_ms = last.stages_ms.get("round_trip", 0.0)
        codes = len(last.regions) if last.decided_by == "cloud" else 0
        return Answered(came_ms[0], came_ms[-1], trip_ms, last.http_bytes_up, last.http_bytes_down, codes)

    async def close(self) -> None:
        await self._client.close()


class ByUpload:
    """A photograph or a vector, over a connection as the client's."""

    def __init__(self, name: str, phone: Phone, shot: Shot, *, warm: bool) -> None:
        self._name, self._phone, self._shot, self._warm = name, phone, shot, warm
        kind = "image/jpeg" if name in PHOTO_BYTES else "application/octet-stream"
        self._http = httpx.AsyncClient(
            headers={**headers(phone.key), "content-type": kind},
            transport=phone.transport(),
            timeout=DEADLINE_MS / 1000,
        )

    async def open(self) -> bool:
        return not self._warm or (await self._http.get(self._phone.url + WAKE_PATH)).status_code == 200

    async def ask(self, due_ns: int) -> Answered | None:
        body = await asyncio.to_thread(self._body)
        path = PHOTO_PATH if self._name in PHOTO_BYTES else VECTOR_PATH
        before_ms = since_ms(due_ns)
        request = self._http.build_request("POST", self._phone.url + path, content=body)
        response = await self._http.send(request, stream=True)
        try:
            reply = await read_reply(response, MAX_ANSWER_BYTES)
        finally:
            await response.aclose()
        trip_ms = since_ms(due_ns) - before_ms
        if reply.status != 200:
            raise ServiceFailed(f"{path}: the service answered {reply.status}.")
        unpack_answer(reply.body)
        final_ms = since_ms(due_ns)
        up_bytes = head_bytes(len(f"POST {path} HTTP/1.1"), request.headers.raw) + len(body)
        return Answered(final_ms, final_ms, trip_ms, up_bytes, reply.head_bytes + len(reply.body), 0)

    def _body(self) -> bytes:
        if self._name in PHOTO_BYTES:
            return Path(self._shot.jpegs[PHOTO_BYTES[self._name]]).read_bytes()
        seen = observe(self._shot.photo, self._phone.device, Budget(FOREVER_MS))
        assert seen.embedding is not None  # a photograph that the device asks about
        return PACKERS[self._name](seen.embedding)

    async def close(self) -> None:
        await self._http.aclose()


def since_ms(due_ns: int) -> float:
    """Return the milliseconds since an instant of the monotonic clock."""
    return (time.monotonic_ns() - due_ns) / 1e6
