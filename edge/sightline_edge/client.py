"""The client: one call from a photograph to an answer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

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
from sightline_shared.errors import ServiceUnreachable
from sightline_shared.preprocess import Frame
from sightline_shared.where import Wanted

T = TypeVar("T")


class Client:
    """Asks one service; safe to share between threads, which then share its warm connections.

    `bundle` is a folder, an opened Bundle, or None for the one that ships with the SDK, run by `runtime` ("onnxruntime"
    or "tflite"); pass `device` instead of both to share a loaded one. `cache=AnswerCache()` answers repeated frames
    without the service; `pocket=PocketIndex.open(...)` answers at once, and offline, from the head of the catalogue;
    `session=Session()` lets what the last frames found help the next.
    `transport` is httpx's seam, for tests and custom networking. The network's part runs in a thread of its own.
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
        self._loop = _LoopThread()

    def search(
        self,
        frame: Frame,
        *,
        where: Wanted | None = None,
        text: str = "",
        options: Options | None = None,
        regions: Sequence[Box | Tap] = (),
    ) -> Answer:
        """Return the final answer to `frame`: a path, picture bytes, a PIL image or an `(h, w, 3) uint8` RGB array.

        `where={"category": "milk", "colour": ["red", "blue"]}` asks for items with all of these keys, each with one of
        its values. `text` says what the picture does not ("the lactose-free one", at most 512 bytes): it travels with the code, and
        the service ranks by it; the device does not read it. `regions` are parts of the frame to ask about besides: boxes, or where the user tapped.

        Ends on the device, with nothing sent, when the frame is too poor or unlike the catalogue, or when the cache has
        the answer. When the service cannot be asked, what the device knows is the answer, and `trouble` says why. Raises
        InputError for a frame that is no picture or a text that is too long (FilterInvalid for a filter that is none), ServiceError when the service cannot
        be asked and the device knows nothing, AccessError, VersionMismatch and ProtocolUnknown when it refuses.
        """
        turn = self._core.look(frame, where, options, regions, text)
        return turn.local if turn.local and turn.local.final else self._loop.run(self._core.ask(turn))

    def stream(
        self,
        frame: Frame,
        *,
        where: Wanted | None = None,
        text: str = "",
        options: Options | None = None,
        regions: Sequence[Box | Tap] = (),
    ) -> Iterator[Answer]:
        """Yield what the device knows at once (`final` is False), and the final answer when it comes.

        The service is asked before the first answer is yielded. Closing the iterator gives the query up. Raises what
        `search` raises.
        """
        turn = self._core.look(frame, where, options, regions, text)
        asking = None if turn.settled else self._loop.submit(self._core.ask(turn))
        try:
            if turn.shown:
                yield turn.shown
            if asking:
                yield _result(asking)
        finally:
            if asking:
                asking.cancel()

    def wake(self) -> Future[float | None]:
        """Begin to open a connection, so that the next query finds it open; call it when the camera opens.

        Returns at once; the future holds the milliseconds that it took, None when it failed.
        """
        return self._loop.submit(self._core.transport.wake())

    def sync_pocket(self) -> Synced:
        """Bring the pocket index up to date: by what changed, or whole where that is less.

        Raises ServiceError, AccessError, VersionMismatch, PocketUnusable (the index stays as it was), and ConfigInvalid
        for a client without one.
        """
        return self._loop.run(self._core.sync_pocket())

    @property
    def network(self) -> State:
        """The network as it was seen so far."""
        return self._core.network.state()

    def close(self) -> None:
        """Close the connections and end the thread; queries under way are given up."""
        self._loop.close(self._core.transport.close())

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _LoopThread:
    """An event loop in a thread of its own, for callers who have none; begun at the first use."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        with self._lock:
            if self._closed:
                work.close()
                raise ServiceUnreachable("not asked: this client is closed.", hint="Make a new Client.")
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="sightline-client", daemon=True)
                self._thread.start()
            return asyncio.run_coroutine_threadsafe(work, self._loop)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        future = self.submit(work)
        try:
            return _result(future)
        except BaseException:  # also when the app is interrupted: what nobody waits for shall not go on
            future.cancel()
            raise

    def close(self, last: Coroutine[Any, Any, None]) -> None:
        """Give up what runs, run `last`, and end the thread."""
        with self._lock:
            loop, thread, self._loop, self._closed = self._loop, self._thread, None, True
        if loop is None or thread is None:
            last.close()
            return
        asyncio.run_coroutine_threadsafe(_ended(last), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _result(future: Future[T]) -> T:
    try:
        return future.result()
    except CancelledError as error:
        raise ServiceUnreachable("the client was closed before the answer came.", hint="Make a new Client.") from error


async def _ended(last: Coroutine[Any, Any, None]) -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await last
