"""A catalogue in memory: the seam `catalog.feed.Feed` over a list, for tests of indexes."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from sightline_cloud.catalog.feed import Change, Rows, Snapshot
from sightline_shared.codec import Codec
from sightline_shared.errors import ChangesPruned


def may_answer(metadata: Mapping[str, Any]) -> bool:
    """Whether an item with this metadata may answer at all, where the key "available" is kept."""
    return metadata.get("available") is not False and metadata.get("archived") is not True


class ListFeed:
    """Items by pk with a change log; every method that changes it is acknowledged when it returns."""

    def __init__(self, codec: Codec, catalogue_id: str = "list") -> None:
        self.catalogue_id, self._codec = catalogue_id, codec
        self.items: dict[int, tuple[str, np.ndarray, np.ndarray, Mapping[str, Any]]] = {}
        self.log: list[Change] = []
        self.pruned = 0
        self._next = 1
        self._lock = threading.RLock()

    def add(self, tenant: str, vectors: np.ndarray, metadata: Sequence[Mapping[str, Any]] | None = None) -> list[int]:
        """Add items; returns their pks."""
        halves, codes = vectors.astype(np.float16), self._codec.encode(vectors)
        with self._lock:
            pks = list(range(self._next, self._next + len(vectors)))
            self._next += len(vectors)
            for row, pk in enumerate(pks):
                self.items[pk] = (tenant, halves[row], codes[row], metadata[row] if metadata else {})
                self._note(tenant, pk, "add")
            return pks

    def update(self, pk: int, **metadata: object) -> None:
        with self._lock:
            tenant, vector, code, _ = self.items[pk]
            self.items[pk] = (tenant, vector, code, metadata)
            self._note(tenant, pk, "update")

    def add_again(self, pk: int) -> None:
        """Log an addition of an item that is there, as a backfill of vectors does."""
        with self._lock:
            self._note(self.items[pk][0], pk, "add")

    def remove(self, pks: Sequence[int]) -> None:
        with self._lock:
            for pk in pks:
                tenant = self.items.pop(pk)[0]
                self._note(tenant, pk, "remove")

    def prune(self) -> None:
        """Forget the change log."""
        self.pruned = self.position()

    def position(self) -> int:
        return self.log[-1].seq if self.log else 0

    def tenants(self) -> dict[str, int]:
        with self._lock:
            counts: dict[str, int] = {}
            for tenant, *_ in self.items.values():
                counts[tenant] = counts.get(tenant, 0) + 1
            return counts

    def changes_since(self, seq: int, limit: int = 10_000) -> list[Change]:
        if seq < self.pruned:
            raise ChangesPruned(f"expected a position of at least {self.pruned}, got {seq}.")
        with self._lock:
            return self.log[seq : seq + limit]

    def rows(self, pks: Sequence[int]) -> Rows:
        with self._lock:
            return self._rows(sorted({int(pk) for pk in pks if int(pk) in self.items}))

    @contextmanager
    def snapshot(self, tenant: str, chunk: int = 65_536) -> Iterator[Snapshot]:
        with self._lock:
            pks = [pk for pk, item in sorted(self.items.items()) if item[0] == tenant]
            chunks = [self._rows(pks[start : start + chunk]) for start in range(0, len(pks), chunk)]
            seq = self.position()
        yield Snapshot(seq, len(pks), iter(chunks))

    def exact(self, tenant: str, query: np.ndarray, k: int, lets_pass=lambda metadata: True) -> list[int]:
        """Return the true answer to a query, found the slow, obvious way."""
        found = [
            (-float(vector.astype(np.float32) @ query), pk)
            for pk, (own, vector, _, metadata) in self.items.items()
            if own == tenant and may_answer(metadata) and lets_pass(metadata)
        ]
        return [pk for _, pk in sorted(found)[:k]]

    def _rows(self, pks: Sequence[int]) -> Rows:
        own = [self.items[pk] for pk in pks]
        return Rows(
            np.array(pks, np.int64),
            np.array([item[1] for item in own], np.float16).reshape(-1, self._codec.dim),
            np.array([item[2] for item in own], np.uint8).reshape(-1, self._codec.code_size),
            [item[3] for item in own],
        )

    def _note(self, tenant: str, pk: int, op: str) -> None:
        self.log.append(Change(len(self.log) + 1, tenant, pk, op))
