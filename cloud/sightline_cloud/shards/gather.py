"""One search over all shards, under a deadline: what arrived by then, and which shards are missing.

Every shard is asked in one replica. When it fails, or takes longer than its replicas usually do, a second one is asked as
well (a hedge: Dean and Barroso, "The Tail at Scale", CACM 2013); the first answer counts and the other is dropped.
"""

from __future__ import annotations

import math
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sightline_cloud.logs import log
from sightline_cloud.shards.load import ShardLoad
from sightline_cloud.shards.pool import Ask, Found, ShardPool, fault
from sightline_shared.errors import ConfigInvalid, IndexFailed, InputError, ShardsMissing

State = Literal["answered", "late", "failed"]
LONGEST_WAIT_MS = 60_000.0


@dataclass(frozen=True)
class ShardStatus:
    """What became of one shard in one search; `why` is the last error of a failed one."""

    shard: int
    state: State
    why: str = ""


@dataclass(frozen=True, eq=False)
class Gathered:
    """Cosines `(s, k) float32` and pks `(s, k) int64` over all shards that answered, best first, each pk once a row.

    All of them searched the first `searched` queries; some may have had time for more, up to s. `whole` is the same without
    an end at k: all that the shards found, `(s, shards * k)`.
    """

    cosines: NDArray[np.float32]
    pks: NDArray[np.int64]
    searched: int
    shards: tuple[ShardStatus, ...]
    whole: tuple[NDArray[np.float32], NDArray[np.int64]]

    @property
    def missing(self) -> tuple[ShardStatus, ...]:
        return tuple(status for status in self.shards if status.state != "answered")


@dataclass(eq=False)
class _Flight:
    """One shard's part of one search: the replicas tried, those still at it, and what came of it."""

    shard: int
    tried: list[int] = field(default_factory=list)
    running: set[Future[Found]] = field(default_factory=set)
    late_at: float = math.inf
    found: Found | None = None
    why: str = ""
    refusal: InputError | None = None

    def cancel(self) -> None:
        for future in self.running:
            future.cancel()

    @property
    def status(self) -> ShardStatus:
        state: State = "answered" if self.found else "late" if self.running else "failed"
        return ShardStatus(self.shard, state, "" if self.found else self.why)


_Arrived = SimpleQueue[tuple[_Flight, Future[Found]]]


class Gather:
    """Searches a pool's shards. Safe to use from several threads."""

    def __init__(self, pool: ShardPool, *, min_share: float) -> None:
        """`min_share` in (0, 1]: the share of the shards without which there is no answer; raises ConfigInvalid."""
        if not 0 < min_share <= 1:
            raise ConfigInvalid(f"min_shards: expected a share above 0 and at most 1, got {min_share}.")
        self._pool = pool
        self._loads = [ShardLoad(replicas) for replicas in pool.replicas]
        self._needed = math.ceil(min_share * len(self._loads))
        self._alone = (ShardStatus(0, "answered"),) if pool.replicas == (1,) else None

    def search(self, ask: Ask) -> Gathered:
        """Return what was found by the deadline; raises ShardsMissing, and what the shards say about the query itself.

        A single shard without replicas is searched in the caller's thread, and its error is raised as it is.
        """
        if self._alone:
            only = self._pool.search(0, 0, ask)
            if wrong := fault(only, ask):
                raise IndexFailed(f"the index: expected {wrong}.")
            return Gathered(only.cosines, only.pks, only.searched, self._alone, (only.cosines, only.pks))
        flights = self._fly(ask)
        statuses = tuple(flight.status for flight in flights)
        answers = [flight.found for flight in flights if flight.found]
        refusals = [flight.refusal for flight in flights if flight.refusal]
        if refusals and not answers:  # the query's fault: they all say the same
            raise refusals[0]
        self._report(statuses)
        if len(answers) < self._needed:
            missing = ", ".join(f"{each.shard} {each.state}" for each in statuses if each.state != "answered")
            raise ShardsMissing(
                f"expected answers from at least {self._needed} of {len(statuses)} shards, got {len(answers)} ({missing})."
            )
        cosines, pks = merged(answers, len(answers) * ask.k)
        searched = min(each.searched for each in answers)
        return Gathered(cosines[:, : ask.k], pks[:, : ask.k], searched, statuses, (cosines, pks))

    def stats(self) -> list[dict[str, int | float | None]]:
        """Return each shard's counters: asked, hedged, late, failed, open, late_after_ms."""
        return [load.stats() for load in self._loads]

    def _fly(self, ask: Ask) -> list[_Flight]:
        """Ask every shard, and return when all have answered or failed, or at the deadline."""
        arrived: _Arrived = SimpleQueue()
        flights = [_Flight(shard) for shard in range(len(self._loads))]
        try:
            for flight in flights:
                self._send(flight, ask, arrived)
            waiting = set(flights)
            while waiting:
                hedge_ms = (min(flight.late_at for flight in waiting) - time.perf_counter()) * 1000
                wait_ms = min(ask.left_ms, hedge_ms, LONGEST_WAIT_MS)
                try:
                    flight, future = arrived.get(timeout=max(0.0, wait_ms / 1000))
                except Empty:
                    if ask.left_ms <= 0:
                        break
                    self._hedge(waiting, ask, arrived)
                    continue
                if flight in waiting and self._land(flight, future, ask, arrived):
                    waiting.remove(flight)
        finally:
            for flight in flights:
                flight.cancel()
        return flights

    def _send(self, flight: _Flight, ask: Ask, arrived: _Arrived) -> bool:
        """Ask one more replica of the flight's shard; returns whether there was one."""
        load = self._loads[flight.shard]
        replica = load.begin(flight.tried)
        if replica is None:
            return False
        start = time.perf_counter()
        try:
            future = self._pool.submit(flight.shard, replica, ask)
        except Exception as error:  # a node that cannot even be asked is a failed one
            future = Future()
            future.set_exception(error)
        flight.tried.append(replica)
        flight.running.add(future)
        flight.late_at = start + load.late_after_ms / 1000 if len(flight.tried) == 1 else math.inf

        def done(future: Future[Found]) -> None:
            answered = not future.cancelled() and future.exception() is None
            load.end(replica, (time.perf_counter() - start) * 1000 if answered else None)
            arrived.put((flight, future))

        future.add_done_callback(done)
        return True

    def _hedge(self, waiting: set[_Flight], ask: Ask, arrived: _Arrived) -> None:
        now = time.perf_counter()
        for flight in [each for each in waiting if each.late_at <= now]:
            flight.late_at = math.inf
            if self._send(flight, ask, arrived):
                self._loads[flight.shard].count("hedged")

    def _land(self, flight: _Flight, future: Future[Found], ask: Ask, arrived: _Arrived) -> bool:
        """Take in what came of `future`; returns whether nothing more is to be expected from the flight's shard."""
        flight.running.remove(future)
        error = _error_of(future, ask)
        if error is None:
            flight.found = future.result()
            flight.cancel()
            return True
        flight.why = f"{type(error).__name__}: {error}"
        if isinstance(error, InputError):  # which another replica would say as well
            flight.refusal = error
            flight.cancel()
            return True
        return not self._send(flight, ask, arrived) and not flight.running

    def _report(self, statuses: tuple[ShardStatus, ...]) -> None:
        for status in statuses:
            if status.state != "answered":
                self._loads[status.shard].count(status.state)
                log("shard_missing", shard=status.shard, state=status.state, why=status.why)


def _error_of(future: Future[Found], ask: Ask) -> BaseException | None:
    """Return why a shard's answer cannot be used; None when it can."""
    if future.cancelled():
        return IndexFailed("the shard is closing.")
    if error := future.exception():
        return error
    wrong = fault(future.result(), ask)
    return IndexFailed(f"the shard: expected {wrong}.") if wrong else None


def merged(answers: list[Found], k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the k best of several answers, row by row: each pk once, by its best cosine; equal cosines by pk.

    Rows that some did not get to are filled from the others.
    """
    rows = max(each.searched for each in answers)
    cosines = np.concatenate([_padded(each.cosines, rows, -np.inf) for each in answers], axis=1)
    pks = np.concatenate([_padded(each.pks, rows, -1) for each in answers], axis=1)
    # Next to each other, best first: what follows its own pk is a repetition.
    order = np.lexsort((-cosines, pks))
    cosines, pks = np.take_along_axis(cosines, order, 1), np.take_along_axis(pks, order, 1)
    dropped = pks < 0
    dropped[:, 1:] |= pks[:, 1:] == pks[:, :-1]
    cosines[dropped], pks[dropped] = -np.inf, -1
    order = np.lexsort((pks, -cosines))[:, :k]
    return np.take_along_axis(cosines, order, 1), np.take_along_axis(pks, order, 1)


def _padded(values: NDArray[np.generic], rows: int, fill: float) -> NDArray[np.generic]:
    if len(values) == rows:
        return values
    return np.pad(values, ((0, rows - len(values)), (0, 0)), constant_values=fill)
