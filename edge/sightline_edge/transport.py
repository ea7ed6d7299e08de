"""The way to the service: connections kept warm, retries, hedges and the circuit breaker, within the deadline."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import httpx

from sightline_edge import exchange
from sightline_edge.body import read_reply
from sightline_edge.config import Options
from sightline_edge.exchange import Reply
from sightline_edge.network import Network
from sightline_edge.pocket import PocketIndex
from sightline_edge.pocket_sync import Synced, sync
from sightline_shared.budget import Budget
from sightline_shared.errors import (
    CertificateRefused,
    ServiceBusy,
    ServiceError,
    ServiceNotReady,
    ServiceTimeout,
    ServiceUnreachable,
    ShardsMissing,
    SightlineError,
)
from sightline_shared.protocol import MAX_ANSWER_BYTES, MAX_DEADLINE_MS

FOREIGN = (httpx.HTTPError, httpx.InvalidURL)
# Sent again where the query cannot have been answered, or where the service said that it was too busy.
AGAIN = (ServiceUnreachable, ServiceBusy, ServiceNotReady, ShardsMissing)
# A phone's camera stays open for minutes; a new connection costs two round trips.
LIMITS = httpx.Limits(max_connections=8, max_keepalive_connections=4, keepalive_expiry=120.0)
WAKE_PATH, WAKE_MS = "/healthz", 5000.0

Packed = tuple[bytes, bytes]


@dataclass(frozen=True)
class Sent:
    """One exchange that the service answered with 200: the request, its id, the reply, and how often it was sent."""

    request: httpx.Request
    request_id: bytes
    reply: Reply
    attempts: int


class Transport:
    """Carries queries of one client to one service, for one event loop."""

    def __init__(
        self, url: str, headers: dict[str, str], network: Network, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self.url, self.network = url, network
        # A query's own deadline ends it; five seconds of silence, which is what httpx allows by itself, do not.
        self._http = httpx.AsyncClient(
            headers=headers, transport=transport, limits=LIMITS, timeout=MAX_DEADLINE_MS / 1000
        )

    async def ask(self, pack: Callable[[], Packed], options: Options, budget: Budget) -> Sent:
        """Send what `pack` returns, body and request id, until the service answers it.

        Raises the service's own error, or a ServiceError when there is no answer within the deadline.
        """
        attempts = 0

        async def attempt() -> Sent:
            nonlocal attempts
            attempts += 1
            body, request_id = pack()
            request = self._http.build_request("POST", self.url + exchange.SEARCH_PATH, content=body)
            reply = await self._noted(request, options, budget)
            return Sent(request, request_id, reply, attempts)

        while True:
            try:
                return await (self._hedged(attempt, budget) if options.hedge else attempt())
            except AGAIN as error:
                if isinstance(error, CertificateRefused) or attempts > options.retries:
                    raise
                pause_ms = self.network.pause_ms(attempts, error, budget.left_ms)
                if pause_ms is None:
                    raise
            await asyncio.sleep(pause_ms / 1000)

    async def wake(self) -> float | None:
        """Open a connection, so that the next query finds it open; returns the milliseconds, None when it failed."""
        budget = Budget(WAKE_MS)
        with contextlib.suppress(SightlineError):
            await self._noted(self._http.build_request("GET", self.url + WAKE_PATH), Options(), budget)
            return budget.spent_ms
        return None

    async def sync(self, pocket: PocketIndex) -> Synced:
        """Bring `pocket` up to date; raises as `pocket_sync.sync`."""
        return await sync(pocket, self._http, self.url)

    async def close(self) -> None:
        await self._http.aclose()

    async def _hedged(self, attempt: Callable[[], Awaitable[Sent]], budget: Budget) -> Sent:
        """Return the first answer of one attempt, or of two where the first is late."""
        after_ms = self.network.hedge_ms(budget.left_ms)
        if after_ms is None:
            return await attempt()
        first = asyncio.ensure_future(attempt())
        running = {first}
        try:
            await asyncio.wait(running, timeout=after_ms / 1000)
            if not first.done():
                self.network.hedged()
                running.add(asyncio.ensure_future(attempt()))
            pending = set(running)
            while pending:
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for answered in done:
                    if answered.exception() is None:
                        return answered.result()
            return first.result()
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _noted(self, request: httpx.Request, options: Options, budget: Budget) -> Reply:
        """Send `request`, tell the network how it went, and return a reply of 200."""
        if self._http.is_closed:
            raise ServiceUnreachable("not asked: this client is closed.", hint="Make a new client.")
        self.network.admit()
        began = time.perf_counter()
        try:
            reply = await self._bounded(request, options, budget)
            if reply.status != 200:
                raise exchange.error_of(reply)
        except ServiceError:
            self.network.failed()
            raise
        except SightlineError:  # refused, by a service that is there
            self.network.succeeded(1000 * (time.perf_counter() - began))
            raise
        except BaseException:
            self.network.abandoned()
            raise
        self.network.succeeded(1000 * (time.perf_counter() - began))
        return reply

    async def _bounded(self, request: httpx.Request, options: Options, budget: Budget) -> Reply:
        try:
            # The deadline is for all of it: connecting, sending, and an answer that trickles.
            async with asyncio.timeout(budget.left_ms / 1000):
                return await self._send(request)
        except TimeoutError as error:
            raise ServiceTimeout(f"{self.url}: no answer within the deadline of {options.deadline_ms} ms.") from error
        except FOREIGN as error:
            raise exchange.transport_error(error, self.url, options) from error

    async def _send(self, request: httpx.Request) -> Reply:
        response = await self._http.send(request, stream=True)
        try:
            return await read_reply(response, MAX_ANSWER_BYTES)
        finally:
            await response.aclose()
