"""A deadline that travels with a request and is spent stage by stage."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Clock = Callable[[], float]


class Budget:
    """Milliseconds allowed for one query, and how each stage spent them.

    `total_ms=None` means no deadline. `clock` returns seconds and never goes back; tests pass their own.
    """

    def __init__(self, total_ms: float | None = None, *, clock: Clock = time.perf_counter) -> None:
        self._clock = clock
        self._start = clock()
        self.total_ms = total_ms
        self.stages_ms: dict[str, float] = {}

    @property
    def spent_ms(self) -> float:
        return (self._clock() - self._start) * 1000.0

    @property
    def left_ms(self) -> float:
        """Milliseconds left, infinite without a deadline, never below zero."""
        return float("inf") if self.total_ms is None else max(0.0, self.total_ms - self.spent_ms)

    def end(self) -> None:
        """Leave nothing of it: nobody waits for the result any more."""
        self.total_ms = 0.0

    @property
    def exhausted(self) -> bool:
        return self.left_ms <= 0.0

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time of the enclosed block to stage `name`, also when it raises."""
        start = self._clock()
        try:
            yield
        finally:
            self.stages_ms[name] = self.stages_ms.get(name, 0.0) + (self._clock() - start) * 1000.0
