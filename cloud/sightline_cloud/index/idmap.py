"""Rows to pks and back: 8 bytes a vector in a static tier."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np

from sightline_cloud.index.ahead import Ahead
from sightline_cloud.index.base import Ids


class SortedIds:
    """The ids of a static tier, whose rows are in ascending order of pk. `pks` may be a map of a file."""

    def __init__(self, pks: Ids) -> None:
        # Not as np.memmap, which takes microseconds for every look into it.
        self.all = np.asarray(pks)

    def __len__(self) -> int:
        return len(self.all)

    def pks_of(self, rows: Ids) -> Ids:
        """Return the pks `(n,)` of `rows` `(n,)`, all at least 0."""
        return self.all.take(rows)

    def ask_for(self, rows: Ids, ahead: Ahead) -> None:
        """Have the pks of `rows` `(n,)` read from the SSD side by side."""
        ahead.ask(self.all.ctypes.data + rows * self.all.itemsize, self.all.itemsize)

    def rows_of(self, pks: Sequence[int]) -> Ids:
        """Return the rows `(n,)` of `pks`, -1 for those that are not here."""
        wanted = np.asarray(pks, np.int64)
        if not len(self.all):
            return np.full(len(wanted), -1, np.int64)
        rows = np.searchsorted(self.all, wanted).clip(max=len(self.all) - 1)
        return np.where(self.all[rows] == wanted, rows, -1)


class GrowingIds:
    """The ids of a tier that grows; of a pk that comes twice the later row counts."""

    def __init__(self) -> None:
        self._pks = np.empty(64, np.int64)
        self._rows: dict[int, int] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def append(self, pks: Ids) -> None:
        count = self._count + len(pks)
        if count > len(self._pks):
            grown = np.empty(max(count, 2 * len(self._pks)), np.int64)
            grown[: self._count] = self._pks[: self._count]
            self._pks = grown
        self._pks[self._count : count] = pks
        self._rows.update(zip(pks.tolist(), range(self._count, count), strict=True))
        self._count = count

    @property
    def all(self) -> Ids:
        """The pks by row."""
        return self._pks[: self._count]

    def pks_of(self, rows: Ids) -> Ids:
        """Return the pks of `rows` `(q, k)`; -1, of which there are some only if the last is one, stays -1."""
        found = self._pks.take(rows)  # what -1 takes is put right below
        if -1 in rows[:, -1].tolist():
            found[rows < 0] = -1
        return found

    @property
    def ram_bytes(self) -> int:
        return self._pks.nbytes + sys.getsizeof(self._rows) + 2 * sys.getsizeof(1 << 30) * len(self._rows)

    def rows_of(self, pks: Sequence[int]) -> Ids:
        """Return the rows `(n,)` of `pks`, -1 for those that are not here."""
        return np.array([self._rows.get(int(pk), -1) for pk in pks], np.int64)
