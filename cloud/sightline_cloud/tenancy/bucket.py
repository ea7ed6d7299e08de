"""Token buckets: how often something may happen, one bucket for each key or address, in bounded memory."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable

# About 200 bytes each. When there are more, the one that was not used for the longest time is forgotten: it is full again
# by then, or somebody has sent from this many addresses within its refill.
MAX_BUCKETS = 10_000


class Buckets:
    """A bucket for each `who`: it holds `capacity` tokens at most, and gets `per_second` new ones. Safe between threads."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, most: int = MAX_BUCKETS) -> None:
        self._clock, self._most = clock, most
        self._held: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._held)

    def take(self, who: Hashable, tokens: float, *, per_second: float, capacity: float) -> float:
        """Take `tokens` and return 0; or take none, and return the seconds until they will be there.

        Something that needs more than the bucket holds is let through a full one, which then owes the difference.
        """
        with self._lock:
            left, now = self._left(who, per_second, capacity)
            needed = min(tokens, capacity)
            if left < needed:
                self._keep(who, left, now)
                return (needed - left) / per_second if per_second > 0 else float("inf")
            self._keep(who, left - tokens, now)
            return 0.0

    def wait(self, who: Hashable, *, per_second: float, capacity: float) -> float:
        """Return the seconds until one token will be there, 0 when it is, and take none."""
        with self._lock:
            left, _ = self._left(who, per_second, capacity)
        return max(0.0, 1 - left) / per_second

    def _left(self, who: Hashable, per_second: float, capacity: float) -> tuple[float, float]:
        now = self._clock()
        left, then = self._held.get(who, (capacity, now))
        return min(capacity, left + (now - then) * per_second), now

    def _keep(self, who: Hashable, left: float, now: float) -> None:
        self._held[who] = (left, now)
        self._held.move_to_end(who)
        if len(self._held) > self._most:
            self._held.popitem(last=False)
