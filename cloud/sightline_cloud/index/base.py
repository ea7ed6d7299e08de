"""The seam: what every index over one tenant's vectors can do."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sightline_cloud.catalog.feed import Rows
from sightline_shared.where import Where

Vectors = NDArray[np.float32]
Ids = NDArray[np.int64]


class Index(Protocol):
    """Items of one tenant; `search` may run in several threads at once, beside one thread that changes it.

    A removal or an update holds for every search that begins after it returned.
    """

    @property
    def kind(self) -> str:
        """ "flat" or "ivf", for reports."""
        ...

    def __len__(self) -> int:
        """Return how many items there are, those that are not available among them."""
        ...

    def add(self, rows: Rows) -> None:
        """Add items; one whose pk is there already takes the old one's place."""
        ...

    def update(self, rows: Rows) -> None:
        """Take over the metadata of items that are there; others are left out."""
        ...

    def remove(self, pks: Sequence[int]) -> int:
        """Remove items; returns how many were there."""
        ...

    def search(self, queries: Vectors, k: int, where: Where | None = None, effort: float = 1.0) -> tuple[Vectors, Ids]:
        """Return cosines and pks `(q, k)` of the nearest items to `queries` `(q, d) float32`, best first.

        pk -1 with cosine -inf fills places without an item: as many as there are are found, up to k, however few
        `where` lets pass. `effort`: the share of its usual lists and candidates that an inexact index looks at. Raises FilterInvalid for a key that is not kept.
        """
        ...

    def pks(self) -> Ids:
        """Return the pks `(n,)` of all items, ascending."""
        ...

    def stats(self) -> dict[str, Any]:
        """Return sizes for reports; keys that end in `_bytes` are bytes."""
        ...


def nothing(queries: int, k: int) -> tuple[Vectors, Ids]:
    """Return the answer of an index that has no item."""
    return np.full((queries, k), -np.inf, np.float32), np.full((queries, k), -1, np.int64)


class ReadWriteLock:
    """Many readers or one writer: faiss is safe for searches side by side, not beside a change."""

    def __init__(self) -> None:
        self._condition = threading.Condition(threading.Lock())
        self._readers = 0
        self._writers_waiting = 0
        self._writing = False
        self._reading = _Reading(self)

    def reading(self) -> _Reading:
        return self._reading

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


class _Reading:
    """A reader's hold: a class of its own since a generator would take as long as all the rest of it."""

    def __init__(self, lock: ReadWriteLock) -> None:
        self._lock = lock

    def __enter__(self) -> None:
        lock = self._lock
        with lock._condition:
            # A waiting writer goes first, so that a steady stream of queries cannot starve it.
            while lock._writing or lock._writers_waiting:
                lock._condition.wait()
            lock._readers += 1

    def __exit__(self, *_: object) -> None:
        lock = self._lock
        with lock._condition:
            lock._readers -= 1
            if not lock._readers:
                lock._condition.notify_all()
