"""The degrade ladder: what the service leaves out while more is asked than it can answer, and when it refuses.

Step by step, one more at a time: 1 the extra ranking stages and fusion, 2 diversity, 3 half of the fan-out (lists and
re-ranked candidates), 4 a quarter of it, 5 matches beyond the tenth, 6 queries that would wait. Whatever the step, a query
that could not be answered in time for those before it is refused at once, before it queues.

The signal is the shortest wait of an interval, as in CoDel (Nichols and Jacobson, 2012): a burst makes some queries wait,
only a load that stays makes all of them wait.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from sightline_shared.errors import ServiceBusy

INTERVAL_SECONDS = 0.1
# Above these the service is under pressure: the shortest wait for a thread, answers cut off by their deadline, and how late the
# event loop wakes up, which is what a lack of CPU looks like from inside.
WAIT_MS = 10.0
MISSED_SHARE = 0.02
LATE_MS = 50.0
CALM = 0.5
UP_AFTER = 2
# A step down is taken after so many calm intervals; twice as many each time that the step had to be taken back.
DOWN_AFTER, DOWN_AFTER_AT_MOST = 10, 160
SHORT_K = 10
SMOOTH = 0.05


class Level(IntEnum):
    """How far down the ladder; what a level leaves out, those after it leave out too."""

    FULL = 0
    NO_EXTRAS = 1
    NO_DIVERSITY = 2
    HALF_FAN_OUT = 3
    QUARTER_FAN_OUT = 4
    SHORT = 5
    SHED = 6

    @property
    def effort(self) -> float:
        """The share of lists and of candidates that a search looks at."""
        return 1.0 if self < Level.HALF_FAN_OUT else 0.5 if self < Level.QUARTER_FAN_OUT else 0.25

    def short(self, k: int) -> int:
        """Return how many matches are given where `k` are asked for."""
        return k if self < Level.SHORT else min(k, SHORT_K)


@dataclass
class _Interval:
    shortest_wait_ms: float | None = None
    done: int = 0
    missed: int = 0


class Pressure:
    """Counts what waits and what it takes, and moves along the ladder at every `tick`. Safe between threads."""

    def __init__(
        self,
        threads: int,
        *,
        at_most: Level = Level.SHED,
        moved: Callable[[Level, Level, str], None] = lambda old, new, why: None,
    ) -> None:
        """`threads`: how many queries are worked on at once. `moved(old, new, why)` hears of every step, down to `at_most`."""
        self._threads, self._at_most, self._moved = threads, at_most, moved
        self._lock = threading.Lock()
        self._now = _Interval()
        self._level = Level.FULL
        self._waiting = self._running = self._shed = 0
        self._service_ms = 1.0
        self._pressed = self._calm = 0
        self._down_after, self._since_down = DOWN_AFTER, DOWN_AFTER_AT_MOST

    @property
    def level(self) -> Level:
        return self._level

    @property
    def expected_wait_ms(self) -> float:
        """How long a query that comes now would wait for a thread."""
        ahead = self._waiting + max(0, self._running - self._threads + 1)
        return ahead * self._service_ms / self._threads

    def admit(self, left_ms: float) -> None:
        """Count a query in, or raise ServiceBusy when it would wait for more than half of the time that it has left."""
        with self._lock:
            expected_ms = self.expected_wait_ms
            allowed_ms = min(left_ms / 2, WAIT_MS if self._level is Level.SHED else left_ms)
            if self._waiting and expected_ms > allowed_ms:
                self._shed += 1
                busy = ServiceBusy(
                    f"{self._waiting} queries wait for {self._threads} threads, {expected_ms:.0f} ms of work; this one has "
                    f"{left_ms:.0f} ms left."
                )
                busy.retry_after_s = max(1.0, expected_ms / 1000)
                raise busy
            self._waiting += 1

    def started(self, waited_ms: float) -> None:
        """Count a query as worked on."""
        with self._lock:
            self._waiting -= 1
            self._running += 1
            known = self._now.shortest_wait_ms
            self._now.shortest_wait_ms = waited_ms if known is None else min(known, waited_ms)

    def dropped(self) -> None:
        """Count out a query that nobody worked on: its deadline fell, or its caller went away."""
        with self._lock:
            self._waiting -= 1
            self._now.missed += 1
            self._now.done += 1

    def finished(self, took_ms: float, *, missed: bool) -> None:
        """Count out a query that was worked on; `missed`: its deadline cut it short."""
        with self._lock:
            self._running -= 1
            self._now.done += 1
            self._now.missed += missed
            self._service_ms += SMOOTH * (took_ms - self._service_ms)

    def tick(self, late_ms: float = 0.0) -> Level:
        """End an interval of 0.1 s, whose end came `late_ms` too late, and return the level from now on."""
        with self._lock:
            ended, self._now = self._now, _Interval()
            old, why = self._level, self._why(ended, late_ms)
            self._since_down += 1
            self._pressed = self._pressed + 1 if why[0] > 1 else 0
            self._calm = self._calm + 1 if why[0] < CALM else 0
            if self._pressed >= UP_AFTER and old < self._at_most:
                self._step(Level(old + 1))
                if self._since_down < self._down_after:  # the step down was a mistake: wait longer before the next
                    self._down_after = min(2 * self._down_after, DOWN_AFTER_AT_MOST)
            elif self._calm >= self._down_after and old > Level.FULL:
                self._step(Level(old - 1))
                self._since_down = 0
            elif old is Level.FULL and self._calm >= DOWN_AFTER_AT_MOST:
                self._down_after = DOWN_AFTER
            new = self._level
        if new is not old:
            self._moved(old, new, why[1])
        return new

    def stats(self) -> dict[str, Any]:
        with self._lock:
            return {
                "level": int(self._level),
                "step": self._level.name.lower(),
                "waiting": self._waiting,
                "running": self._running,
                "expected_wait_ms": round(self.expected_wait_ms, 3),
                "service_ms": round(self._service_ms, 3),
                "shed": self._shed,
            }

    def _step(self, level: Level) -> None:
        self._level = level
        self._pressed = self._calm = 0

    def _why(self, ended: _Interval, late_ms: float) -> tuple[float, str]:
        """Return the worst of the three signals, as a share of what is allowed, and in words."""
        # When none started although some wait, all threads are taken for the whole interval.
        wait_ms = ended.shortest_wait_ms
        if wait_ms is None:
            wait_ms = self.expected_wait_ms if self._waiting else 0.0
        share = ended.missed / ended.done if ended.done else 0.0
        signals = [
            (wait_ms / WAIT_MS, f"queries wait {wait_ms:.0f} ms at least"),
            (share / MISSED_SHARE, f"{share:.0%} of the deadlines were missed"),
            (late_ms / LATE_MS, f"the event loop woke up {late_ms:.0f} ms late"),
        ]
        return max(signals)
