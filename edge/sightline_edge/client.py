"""The client: one call from a photograph to an answer, sync or async, over one pure core (`exchange`)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

import httpx

from sightline_edge import exchange
from sightline_edge.answer import Answer
from sightline_edge.config import Options
from sightline_edge.device import Device
from sightline_edge.exchange import Reply
from sightline_edge.pipeline import Observation, observe
from sightline_edge.runtimes.base import DEFAULT_RUNTIME
from sightline_shared.budget import Budget
from sightline_shared.bundle import Bundle
from sightline_shared.errors import AnswerMalformed, ConfigInvalid, ServiceTimeout
from sightline_shared.preprocess import Frame
from sightline_shared.protocol import MAX_ANSWER_BYTES
from sightline_shared.where import Wanted, Where

FOREIGN = (httpx.HTTPError, httpx.InvalidURL)


def _checked_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except (ValueError, AttributeError):  # a broken IPv6 address or port, or no text at all
        usable = False
    if not usable:
        raise ConfigInvalid(f"url: expected http://host:port or https://host, got {url!r}.")
    return url.rstrip("/")


class Client:
    """Asks one service; safe to share between threads, which then share its warm connections.

    `bundle` is a folder, an opened Bundle, or None for the one that ships with the SDK, run by `runtime` ("onnxruntime"
    or "tflite"); pass `device` instead of both to share a loaded one. `transport` is httpx's seam, for tests and custom networking.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        bundle: Bundle | str | Path | None = None,
        device: Device | None = None,
        runtime: str = DEFAULT_RUNTIME,
        options: Options | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.url = _checked_url(url)
        self.options = options or Options()
        self.device = device or Device.load(bundle, runtime=runtime)
        self._http = httpx.Client(headers=exchange.headers(api_key), transport=transport)

    def search(self, frame: Frame, *, where: Wanted | None = None, options: Options | None = None) -> Answer:
        """Return the answer to `frame`: a path, picture bytes, a PIL image or an `(h, w, 3) uint8` RGB array.

        `where={"category": "milk", "colour": ["red", "blue"]}` asks for items with all of these keys, each with one of
        its values.

        Ends on the device, with nothing sent, when the frame is too poor or unlike the catalogue. Raises InputError
        for a frame that is no picture (FilterInvalid for a filter that is none), ServiceError when the service cannot
        be asked, AccessError, VersionMismatch and ProtocolUnknown when it refuses.
        """
        chosen, wanted = options or self.options, Where.of(where or {})
        budget = Budget(chosen.deadline_ms)
        seen = observe(frame, self.device, budget)
        return exchange.local_answer(seen, budget) or self._ask(seen, wanted, chosen, budget)

    def _ask(self, seen: Observation, where: Where, options: Options, budget: Budget) -> Answer:
        body, request_id = exchange.pack(seen, self.device, where, options, budget)
        try:
            with budget.stage("round_trip"):
                request = self._http.build_request(
                    "POST", self.url + exchange.SEARCH_PATH, content=body, timeout=budget.left_ms / 1000
                )
                reply = self._send(request, budget, options)
        except FOREIGN as error:
            raise exchange.transport_error(error, self.url, options) from error
        return exchange.read(reply, request, request_id, seen, self.device, options, budget)

    def _send(self, request: httpx.Request, budget: Budget, options: Options) -> Reply:
        response = self._http.send(request, stream=True)
        try:
            body = _empty_body(response)
            for chunk in response.iter_bytes():
                _append(body, chunk, budget, options)
            return _reply(response, bytes(body))
        finally:
            response.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncClient:
    """`Client` for asyncio: the device path runs in a worker thread, the deadline also bounds a trickling answer."""

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        bundle: Bundle | str | Path | None = None,
        device: Device | None = None,
        runtime: str = DEFAULT_RUNTIME,
        options: Options | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.url = _checked_url(url)
        self.options = options or Options()
        self.device = device or Device.load(bundle, runtime=runtime)
        self._http = httpx.AsyncClient(headers=exchange.headers(api_key), transport=transport)

    async def search(self, frame: Frame, *, where: Wanted | None = None, options: Options | None = None) -> Answer:
        """Return the answer to `frame`, as `Client.search` does."""
        chosen, wanted = options or self.options, Where.of(where or {})
        budget = Budget(chosen.deadline_ms)
        seen = await asyncio.to_thread(observe, frame, self.device, budget)
        return exchange.local_answer(seen, budget) or await self._ask(seen, wanted, chosen, budget)

    async def _ask(self, seen: Observation, where: Where, options: Options, budget: Budget) -> Answer:
        body, request_id = exchange.pack(seen, self.device, where, options, budget)
        try:
            with budget.stage("round_trip"):
                async with asyncio.timeout(budget.left_ms / 1000):
                    request = self._http.build_request(
                        "POST", self.url + exchange.SEARCH_PATH, content=body, timeout=budget.left_ms / 1000
                    )
                    reply = await self._send(request, budget, options)
        except TimeoutError as error:
            raise exchange.transport_error(httpx.ReadTimeout(""), self.url, options) from error
        except FOREIGN as error:
            raise exchange.transport_error(error, self.url, options) from error
        return exchange.read(reply, request, request_id, seen, self.device, options, budget)

    async def _send(self, request: httpx.Request, budget: Budget, options: Options) -> Reply:
        response = await self._http.send(request, stream=True)
        try:
            body = _empty_body(response)
            async for chunk in response.aiter_bytes():
                _append(body, chunk, budget, options)
            return _reply(response, bytes(body))
        finally:
            await response.aclose()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def _empty_body(response: httpx.Response) -> bytearray:
    # We asked for no compression; a compressed answer could grow past every cap while it is unpacked.
    encoding = response.headers.get("content-encoding", "identity")
    if encoding != "identity":
        raise AnswerMalformed(f"expected an answer without compression, got content-encoding {encoding!r}.")
    return bytearray()


def _append(body: bytearray, chunk: bytes, budget: Budget, options: Options) -> None:
    if len(body) + len(chunk) > MAX_ANSWER_BYTES:
        raise AnswerMalformed(f"expected an answer of at most {MAX_ANSWER_BYTES} bytes, got more.")
    if budget.exhausted:
        raise ServiceTimeout(f"the answer was still arriving at the deadline of {options.deadline_ms} ms.")
    body += chunk


def _reply(response: httpx.Response, body: bytes) -> Reply:
    status_line = len(f"HTTP/1.1 {response.status_code} {response.reason_phrase}")
    return Reply(response.status_code, exchange.head_bytes(status_line, response.headers.raw), body)
