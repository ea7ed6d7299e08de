"""How busy and how quick one shard's replicas are: whom to ask, and when an answer is late."""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Collection

RECENT = 64
# Fewer answers say nothing about a 95th percentile.
MIN_RECENT = 20
# Below this, lateness is the scheduler's noise.
MIN_LATE_MS = 1.0


class ShardLoad:
    """Open requests and recent times of one shard's replicas, and what went wrong so far. Safe between threads."""

    def __init__(self, replicas: int) -> None:
        self._lock = threading.Lock()
        self._open = [0] * replicas
        self._recent_ms: list[deque[float]] = [deque(maxlen=RECENT) for _ in range(replicas)]
        self._late_after_ms = float("inf")
        self._counts = {"asked": 0, "hedged": 0, "late": 0, "failed": 0}

    @property
    def late_after_ms(self) -> float:
        """The 95th percentile of recent times, infinite until it is known.

        The quickest replica's: a slow one must not make its own slowness the measure.
        """
        return self._late_after_ms

    def begin(self, tried: Collection[int] = ()) -> int | None:
        """Return a replica to ask, not one of `tried`, and count it as busy; None when there is no other.

        The less busy of two drawn at random: nearly as even as asking the least busy, without all rushing to it at once.
        """
        with self._lock:
            untried = [replica for replica in range(len(self._open)) if replica not in tried]
            if not untried:
                return None
            replica = min(random.sample(untried, min(2, len(untried))), key=self._open.__getitem__)
            self._open[replica] += 1
            self._counts["asked"] += 1
            return replica

    def end(self, replica: int, took_ms: float | None) -> None:
        """Count `replica` as done; `took_ms` is None when it gave no answer."""
        with self._lock:
            self._open[replica] -= 1
            if took_ms is None:
                return
            recent = self._recent_ms[replica]
            recent.append(took_ms)
            if len(self._open) > 1:
                known = [sorted(each)[len(each) * 95 // 100] for each in self._recent_ms if len(each) >= MIN_RECENT]
                self._late_after_ms = max(MIN_LATE_MS, min(known, default=float("inf")))

    def count(self, event: str) -> None:
        """Count one "hedged", "late" or "failed"."""
        with self._lock:
            self._counts[event] += 1

    def stats(self) -> dict[str, int | float | None]:
        """Return what was asked, hedged, late and failed, what is open, and the time after which an answer is late."""
        with self._lock:
            known = self._late_after_ms < float("inf")
            late_after_ms = round(self._late_after_ms, 3) if known else None
            return {**self._counts, "open": sum(self._open), "late_after_ms": late_after_ms}
