"""Virtual time: what happens when, without waiting for it. All of the emulator's times are whole nanoseconds.

Whole numbers, because then hand-worked cases come out exactly, and the same seed gives the same bytes on every machine.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable

US_NS = 1_000
MS_NS = 1_000_000
SECOND_NS = 1_000_000_000


class Timer:
    """Something that will be done at `when_ns`, unless it is cancelled before."""

    __slots__ = ("act", "when_ns")

    def __init__(self, when_ns: int, act: Callable[[], None]) -> None:
        self.when_ns = when_ns
        self.act: Callable[[], None] | None = act

    def cancel(self) -> None:
        self.act = None


class VirtualTime:
    """A queue of things to do; of two at the same instant the one that was asked for first comes first."""

    def __init__(self, now_ns: int = 0) -> None:
        self.now_ns = now_ns
        self._asked = 0
        self._queue: list[tuple[int, int, Timer]] = []

    @property
    def due_ns(self) -> int | None:
        """When there is something to do next, be it only to see that it was cancelled; None for nothing."""
        return self._queue[0][0] if self._queue else None

    def at(self, when_ns: int, act: Callable[[], None]) -> Timer:
        """Do `act` at `when_ns`, or now where that has passed."""
        timer = Timer(max(when_ns, self.now_ns), act)
        self._asked += 1
        heapq.heappush(self._queue, (timer.when_ns, self._asked, timer))
        return timer

    def after(self, delay_ns: int, act: Callable[[], None]) -> Timer:
        """Do `act` in `delay_ns`."""
        return self.at(self.now_ns + delay_ns, act)

    def run(self, until_ns: int | None = None) -> None:
        """Do everything that is due until `until_ns`, or until nothing is left to do."""
        while self._queue and (until_ns is None or self._queue[0][0] <= until_ns):
            when_ns, _, timer = heapq.heappop(self._queue)
            act, timer.act = timer.act, None
            if act is not None:
                self.now_ns = when_ns
                act()
        if until_ns is not None:
            self.now_ns = max(self.now_ns, until_ns)
