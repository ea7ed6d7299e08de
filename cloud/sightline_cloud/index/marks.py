"""What a tier knows of its rows beside their vectors: which are there, and which a filter lets pass."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import faiss
from pyroaring import BitMap

from sightline_cloud.index.deletes import Deletes, row_numbers, selector_of
from sightline_cloud.index.filters import Postings
from sightline_shared.where import Where

REMEMBERED = 16


@dataclass(frozen=True, eq=False)
class Allowed:
    """The rows that may answer a query: `count` of them. `selector` None: all rows; `rows` None: whatever is not hidden."""

    count: int
    selector: faiss.IDSelectorBitmap | None
    rows: BitMap | None


class Marks:
    """Deletes and postings of one tier's rows 0 to n - 1. Changed by one thread, read by many."""

    def __init__(self, postings: Postings, count: int = 0) -> None:
        """Mark `count` rows that `postings` knows already."""
        self.postings, self._count = postings, count
        self._deletes = Deletes(count)
        self._deletes.set_available(postings.hidden(), available=False)
        self._version = 0
        self._remembered: dict[Where | None, tuple[int, Allowed]] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Return how many rows there are, without those that are removed."""
        return self._count - len(self._deletes.removed)

    @property
    def removed(self) -> BitMap:
        return self._deletes.removed

    def append(self, metadata: Sequence[Mapping[str, Any]]) -> None:
        """Mark the next rows."""
        rows = range(self._count, self._count + len(metadata))
        self._deletes.grow(rows.stop)
        self.postings.add(rows, metadata)
        self._see_hidden(rows, metadata)
        self._count = rows.stop
        self._version += 1

    def update(self, rows: Sequence[int], metadata: Sequence[Mapping[str, Any]]) -> None:
        """Take over the changed metadata of rows."""
        self.postings.replace(rows, metadata)
        self._see_hidden(rows, metadata)
        self._version += 1

    def remove(self, rows: Sequence[int]) -> int:
        """Hide rows for ever; returns how many were not removed yet."""
        fresh = BitMap(rows) - self._deletes.removed
        if fresh:
            self._deletes.remove(fresh)
            self._version += 1
        return len(fresh)

    def allowed(self, where: Where | None) -> Allowed:
        """Return which rows may answer under `where`; raises FilterInvalid."""
        version = self._version
        known = self._remembered.get(where)
        if known and known[0] == version:
            return known[1]
        allowed = self._work_out(where)
        with self._lock:
            if len(self._remembered) >= REMEMBERED:
                self._remembered.clear()
            # Under the version that was read before: a change meanwhile makes it worth nothing.
            self._remembered[where] = version, allowed
        return allowed

    def _work_out(self, where: Where | None) -> Allowed:
        hidden = self._deletes.hidden
        if not where:
            return Allowed(self._count - len(hidden), self._deletes.selector(), None)
        rows = self.postings.matching(where) - hidden
        return Allowed(len(rows), selector_of(row_numbers(rows), self._count), rows)

    def _see_hidden(self, rows: Sequence[int], metadata: Sequence[Mapping[str, Any]]) -> None:
        off = BitMap([row for row, fields in zip(rows, metadata, strict=True) if self.postings.hides(fields)])
        self._deletes.set_available(BitMap(rows) - off, available=True)
        self._deletes.set_available(off, available=False)
