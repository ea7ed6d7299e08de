"""A catalogue over a .npy file: the service's own seam between catalogue and indexes, with nothing held in memory.

Row r is the item with pk r + 1, added by change r + 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline_bench.retrieval.contenders.base import Vectors
from sightline_bench.retrieval.contenders.buckets import PASSING, buckets
from sightline_cloud.catalog.feed import Change, Rows, Snapshot

TENANT = "bench"
FILTER_KEYS = tuple(f"below_{passing}" for passing in PASSING)
Encode = Callable[[Vectors], NDArray[np.uint8]]


class NpyFeed:
    """`vectors` `(n, d) float16`, mapped; `encode` gives the codes that the bundle's codec would have given.

    The n rows are there from the beginning; `later` are those that `add` adds.
    """

    def __init__(self, name: str, vectors: Vectors, encode: Encode, later: Vectors) -> None:
        self.catalogue_id = name
        self._vectors, self._encode, self._later = vectors, encode, later
        self._visible = len(vectors)

    def __len__(self) -> int:
        """Return how many rows there are, those that come later among them."""
        return len(self._vectors) + len(self._later)

    def add(self, count: int) -> None:
        """Add the next `count` of those that come later: they are acknowledged when this returns."""
        self._visible = min(self._visible + count, len(self))

    def position(self) -> int:
        return self._visible

    def tenants(self) -> dict[str, int]:
        return {TENANT: self._visible}

    def changes_since(self, seq: int, limit: int = 10_000) -> list[Change]:
        return [Change(pk, TENANT, pk, "add") for pk in range(seq + 1, min(seq + limit, self._visible) + 1)]

    def rows(self, pks: Sequence[int]) -> Rows:
        there = np.unique(np.asarray(pks, np.int64))
        return self._rows(there[(there > 0) & (there <= self._visible)])

    @contextmanager
    def snapshot(self, tenant: str, chunk: int = 65_536) -> Iterator[Snapshot]:
        count = self._visible

        def chunks() -> Iterator[Rows]:
            for start in range(0, count, chunk):
                yield self._rows(np.arange(start, min(start + chunk, count)) + 1)

        yield Snapshot(count, count, chunks())

    def _rows(self, pks: NDArray[np.int64]) -> Rows:
        rows, first = pks - 1, len(self._vectors)
        vectors = np.concatenate([self._vectors[rows[rows < first]], self._later[rows[rows >= first] - first]])
        return Rows(pks, vectors, self._encode(vectors), _metadata(pks - 1))


def _metadata(rows: NDArray[np.int64]) -> list[Mapping[str, Any]]:
    # Sixteen different maps at most, shared by all rows.
    passes = buckets(rows)[:, None] < np.array(PASSING)
    known: dict[bytes, Mapping[str, Any]] = {}
    return [known.setdefault(flags.tobytes(), dict(zip(FILTER_KEYS, flags.tolist(), strict=True))) for flags in passes]
