"""The client for asyncio."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from types import TracebackType

import httpx

from sightline_edge.answer import Answer
from sightline_edge.cache import AnswerCache
from sightline_edge.config import Options
from sightline_edge.core import Core
from sightline_edge.device import Device
from sightline_edge.frame import Box, Tap
from sightline_edge.local import Pocket
from sightline_edge.network import State
from sightline_edge.pocket_sync import Synced
from sightline_edge.runtimes.base import DEFAULT_RUNTIME
from sightline_edge.session import Session
from sightline_shared.bundle import Bundle
from sightline_shared.preprocess import Frame
from sightline_shared.where import Wanted


class AsyncClient:
    """`Client` for asyncio: the device's part runs in a worker thread; of one event loop."""

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        bundle: Bundle | str | Path | None = None,
        device: Device | None = None,
        runtime: str = DEFAULT_RUNTIME,
        options: Options | None = None,
        cache: AnswerCache | None = None,
        pocket: Pocket | None = None,
        session: Session | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._core = Core(
            url, api_key=api_key, bundle=bundle, device=device, runtime=runtime, options=options, cache=cache,
            pocket=pocket, session=session, transport=transport,
        )  # fmt: skip
        self.url, self.options, self.device = self._core.url, self._core.options, self._core.device

    async def search(
        self,
        frame: Frame,
        *,
        where: Wanted | None = None,
        text: str = "",
        options: Options | None = None,
        regions: Sequence[Box | Tap] = (),
    ) -> Answer:
        """Return the final answer to `frame`, as `Client.search` does."""
        turn = await asyncio.to_thread(self._core.look, frame, where, options, regions, text)
        return turn.local if turn.local and turn.local.final else await self._core.ask(turn)

    async def stream(
        self,
        frame: Frame,
        *,
        where: Wanted | None = None,
        text: str = "",
        options: Options | None = None,
        regions: Sequence[Box | Tap] = (),
    ) -> AsyncIterator[Answer]:
        """Yield what the device knows at once, and then the final answer, as `Client.stream` does."""
        turn = await asyncio.to_thread(self._core.look, frame, where, options, regions, text)
        asking = None if turn.settled else asyncio.ensure_future(self._core.ask(turn))
        try:
            if turn.shown:
                yield turn.shown
            if asking:
                yield await asking
        finally:
            # The app may have taken the first answer and gone.
            if asking and not asking.done():
                asking.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await asking

    async def wake(self) -> float | None:
        """Open a connection, so that the next query finds it open; returns the milliseconds, None when it failed."""
        return await self._core.transport.wake()

    async def sync_pocket(self) -> Synced:
        """Bring the pocket index up to date, as `Client.sync_pocket` does."""
        return await self._core.sync_pocket()

    @property
    def network(self) -> State:
        """The network as it was seen so far."""
        return self._core.network.state()

    async def close(self) -> None:
        """Close the connections."""
        await self._core.transport.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
