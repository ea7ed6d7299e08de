"""The seam: what every index over one tenant's vectors can do."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Ids = NDArray[np.int64]


class Index(Protocol):
    """Vectors of unit length by id; `search` may run in several threads at once, beside `add` and `remove`."""

    @property
    def kind(self) -> str:
        """ "flat" or "ivf", for reports."""
        ...

    def __len__(self) -> int: ...

    def add(self, ids: Ids, vectors: Vectors) -> None:
        """Add `vectors` `(n, d) float32` under new `ids` `(n,) int64`."""
        ...

    def remove(self, ids: Ids) -> int:
        """Remove `ids`; returns how many were there."""
        ...

    def search(self, queries: Vectors, k: int) -> tuple[Vectors, Ids]:
        """Return cosines and ids `(n, k)` of the nearest vectors, best first; id -1 fills places without a vector."""
        ...


class ReadWriteLock:
    """Many readers or one writer: faiss is safe for searches side by side, not beside a change."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._readers = 0
        self._writers_waiting = 0
        self._writing = False

    @contextmanager
    def reading(self) -> Iterator[None]:
        with self._condition:
            # A waiting writer goes first, so that a steady stream of queries cannot starve it.
            self._condition.wait_for(lambda: not self._writing and not self._writers_waiting)
            self._readers += 1
        try:
            yield
        finally:
            with self._condition:
                self._readers -= 1
                self._condition.notify_all()

    @contextmanager
    def writing(self) -> Iterator[None]:
        with self._condition:
            self._writers_waiting += 1
            self._condition.wait_for(lambda: not self._writing and not self._readers)
            self._writers_waiting -= 1
            self._writing = True
        try:
            yield
        finally:
            with self._condition:
                self._writing = False
                self._condition.notify_all()
