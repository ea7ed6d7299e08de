"""The limit: the index called in this process, one query after another, and nothing around it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from sightline_bench.load.catalogue import TENANT, settings_of
from sightline_cloud.engine import Engine
from sightline_shared.bundle import Bundle


class Bare:
    """`TenantIndexes.search` over a copy of the data folder, with codes that are decoded beforehand."""

    def __init__(self, folder: Path, bundle: Bundle, codes: Sequence[bytes], k: int) -> None:
        self._engine, self._k, self._next = Engine(settings_of(folder), bundle, owner="the benchmark"), k, 0
        (self._index,) = self._engine.primary.indexes.shards
        vectors = bundle.codec.decode(np.frombuffer(b"".join(codes), np.uint8).reshape(len(codes), -1))
        self._vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def __enter__(self) -> Bare:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._engine.close()

    def time(self, count: int) -> NDArray[np.float64]:
        """Return milliseconds of CPU and of wall time of the next `count` queries, `(count, 2)`."""
        spent = np.empty((count, 2))
        for row in range(count):
            query = self._vectors[self._next % len(self._vectors)][None]
            self._next += 1
            cpu_s, wall_s = time.thread_time(), time.perf_counter()
            self._index.search(TENANT, query, self._k)
            spent[row] = time.thread_time() - cpu_s, time.perf_counter() - wall_s
        return 1000 * spent
