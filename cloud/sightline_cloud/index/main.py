"""The static index: IVF lists under an HNSW graph of centroids, candidates re-ranked by their true cosines.

Rows are numbered in ascending order of pk. Everything is in a snapshot's files; what is in RAM is the lists that are
hot, the centroids and what filters and deletes need.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline_cloud.catalog.feed import Rows
from sightline_cloud.index.base import Ids, Vectors, nothing
from sightline_cloud.index.deletes import row_numbers
from sightline_cloud.index.filters import Postings
from sightline_cloud.index.hits import Hits
from sightline_cloud.index.idmap import SortedIds
from sightline_cloud.index.marks import Allowed, Marks
from sightline_cloud.index.planner import Candidates
from sightline_cloud.index.rerank import Reranker
from sightline_cloud.index.tail import Lists
from sightline_shared.errors import SnapshotCorrupt
from sightline_shared.where import Where

LISTS, PKS, VECTORS, POSTINGS, SPACE = "lists.faiss", "pks.i64", "vectors.f16", "postings.msgpack", "space.f32"
FILES = (LISTS, PKS, VECTORS, POSTINGS, SPACE)

# So few matches of a filter are all compared, without the lists.
EXACT_ROWS = 1000


class MainIndex:
    """A snapshot's files, opened: searched by many threads, its marks changed by one."""

    def __init__(
        self, folder: Path, dim: int, filter_keys: Iterable[str], nprobe: int, rescore: int, *, in_ram: bool
    ) -> None:
        """Open files whose digests the caller has verified; raises SnapshotCorrupt.

        `in_ram`: all lists, or, until `tier` says otherwise, none.
        """
        self.folder, self._nprobe, self._rescore = folder, nprobe, rescore
        self._ids = SortedIds(np.memmap(folder / PKS, np.int64, "r"))
        rows = len(self._ids)
        self._marks = Marks(Postings.from_bytes((folder / POSTINGS).read_bytes(), filter_keys, rows), rows)
        self._mean, self._matrix = read_space(folder, dim)
        self._reranker = Reranker(folder / VECTORS, dim)
        self._lists = Lists(folder / LISTS, in_ram)
        if (self._lists.rows, self._lists.dim) != (rows, len(self._matrix)) or not self._lists.hold_each_row_once():
            raise SnapshotCorrupt(f"{folder / LISTS}: expected {rows} rows of {len(self._matrix)} numbers, each once.")
        self.hits = Hits(self._lists.count)
        # Now, since another snapshot's coming may take the files away while this one still answers.
        self._ssd_bytes = sum((folder / name).stat().st_size for name in FILES)

    def __len__(self) -> int:
        return len(self._marks)

    def update(self, rows: Rows) -> None:
        """Take over the metadata of those rows that are here."""
        found = self._ids.rows_of(rows.pks.tolist())
        here = np.flatnonzero(found >= 0).tolist()
        self._marks.update(found[here].tolist(), [rows.metadata[number] for number in here])

    def remove(self, pks: Sequence[int]) -> int:
        """Hide pks for ever; returns how many were here."""
        found = self._ids.rows_of(pks)
        return self._marks.remove(found[found >= 0].tolist())

    def search(self, queries: Vectors, k: int, where: Where | None = None, effort: float = 1.0) -> tuple[Vectors, Ids]:
        """Return cosines and pks `(q, k)`; see `base.Index`."""
        allowed = self._marks.allowed(where)
        if not allowed.count:
            return nothing(len(queries), k)
        if allowed.rows is not None and allowed.count <= EXACT_ROWS:
            candidates = np.broadcast_to(row_numbers(allowed.rows), (len(queries), allowed.count))
        else:
            candidates = self._candidates(queries, k, allowed, effort)
        cosines, pks = np.empty((len(queries), k), np.float32), np.empty((len(queries), k), np.int64)
        for number, (query, found) in enumerate(zip(queries, candidates, strict=True)):
            if found[-1] < 0:
                found = found[found >= 0]
            own = self._reranker.cosines(query, found)
            best = (-own).argsort(kind="stable")[:k]
            rows, count = found.take(best), len(best)
            if self._reranker.ahead.asking:  # where the vectors are not in memory, the pks may not be
                self._ids.ask_for(rows, self._reranker.ahead)
            cosines[number, :count], pks[number, :count] = own.take(best), self._ids.pks_of(rows)
            if count < k:
                cosines[number, count:], pks[number, count:] = -np.inf, -1
        return cosines, pks

    def _candidates(self, queries: Vectors, k: int, allowed: Allowed, effort: float) -> Ids:
        """Return rows `(q, n)`, best code first: at least min(k, matches) of them, then -1."""
        placed = np.ascontiguousarray((queries - self._mean) @ self._matrix.T, np.float32)
        # One read of the reference: tiering may put another one in its place.
        lists = self._lists
        wanted = max(k, round(self._rescore * effort))
        needed = min(wanted, allowed.count)
        # In so many lists that as many rows are met as without a filter; more when what passes it lies elsewhere.
        nprobe = max(1, round(self._nprobe * effort)) * len(self._ids) // allowed.count
        while True:
            nprobe = min(lists.count, nprobe)
            rows, numbers = lists.search(placed, nprobe, wanted, allowed.selector)
            if nprobe == lists.count or -1 not in rows[:, needed - 1].tolist():
                self.hits.note(numbers, lists.hot)
                return rows
            nprobe *= 4

    def tier(self, hot: NDArray[np.bool_]) -> None:
        """Have the lists that `hot` names in RAM and the others on the SSD; queries run on meanwhile.

        Until the searches that began before have ended, the old lists stay in RAM beside the new ones.
        """
        if not np.array_equal(hot, self._lists.hot):
            self._lists = Lists(self.folder / LISTS, hot)

    def inherit(self, old: MainIndex) -> None:
        """Begin with the tiers and hits of the index that this one takes the place of, if the lists are the same."""
        if old._lists.count == self._lists.count:
            self.hits.inherit(old.hits)
            self.tier(old._lists.hot)

    def candidates(self) -> Candidates:
        """Return the lists as the planner wants them."""
        lists = self._lists
        return Candidates(lists.sizes * lists.row_bytes, self.hits.counts, lists.hot)

    def pks(self) -> Ids:
        there = np.ones(len(self._ids), bool)
        there[row_numbers(self._marks.removed)] = False
        found: Ids = np.asarray(self._ids.all)[there]
        return found

    @property
    def fixed_bytes(self) -> int:
        """RAM that does not depend on which lists are in it."""
        return self._lists.coarse_bytes + self._marks.postings.ram_bytes + len(self._ids) // 8

    def stats(self) -> dict[str, Any]:
        lists = self._lists
        return {
            "rows": len(self._ids),
            "tombstones": len(self._marks.removed),
            "lists": lists.count,
            "lists_in_ram": int(lists.hot.sum()),
            "ram_probes": self.hits.ram_probes,
            "ssd_probes": self.hits.ssd_probes,
            "ram_bytes": lists.ram_bytes - lists.coarse_bytes + self.fixed_bytes,
            "ssd_bytes": self._ssd_bytes,
        }


def write_space(folder: Path, mean: Vectors, matrix: Vectors) -> None:
    """Write where lists lie: the mean `(d,)`, then the matrix `(p, d)`, as float32."""
    np.concatenate([mean[None], matrix]).astype("<f4").tofile(folder / SPACE)


def read_space(folder: Path, dim: int) -> tuple[Vectors, Vectors]:
    """Return mean and matrix."""
    rows = np.fromfile(folder / SPACE, np.float32).reshape(-1, dim)
    return rows[0], rows[1:]
