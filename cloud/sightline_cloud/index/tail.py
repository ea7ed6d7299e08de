"""The lists of the large index: in RAM, memory-mapped from the SSD, or some here and some there."""

from __future__ import annotations

import threading
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

from sightline_cloud.index.ahead import Ahead, waits
from sightline_cloud.index.base import Ids, Vectors
from sightline_cloud.index.calls import Parameters, nearest
from sightline_shared.errors import SnapshotCorrupt

# faiss's default of 16 loses a good part of the lists that nprobe asks for.
COARSE_EF_SEARCH = 128
# Beyond this share of the lists, comparing all centroids costs less than the graph, and misses none.
EXACT_COARSE_SHARE = 0.1
# What a file may ask of the reader: no more memory at once than it has bytes and a table takes, and no more lists.
TABLES_BYTES = 1 << 28
MAX_LISTS = 1 << 22
ID_BYTES = 8

_limits = threading.Lock()


class Lists:
    """IVF lists, searched together wherever they are. Not changed once made: tiering makes another one."""

    def __init__(self, path: Path, hot: NDArray[np.bool_] | bool = True) -> None:
        """Open a snapshot's lists, whose digest the caller has verified; raises SnapshotCorrupt.

        `hot` says which are to be in RAM: all, none, or one by one `(lists,)`. The others take next to none of it.
        """
        in_ram = bool(np.all(hot))
        self._index = read_index(path) if in_ram else _mapped_index(path)
        self._quantizer = faiss.downcast_index(self._index.quantizer)
        self._quantizer.hnsw.efSearch = COARSE_EF_SEARCH
        self._centroids = faiss.downcast_index(self._quantizer.storage)
        self.count, self.rows, self.dim = int(self._index.nlist), int(self._index.ntotal), int(self._index.d)
        self.sizes: NDArray[np.int64] = np.array(
            [self._index.invlists.list_size(number) for number in range(self.count)], np.int64
        )
        self.hot: NDArray[np.bool_] = np.broadcast_to(np.asarray(hot, bool), self.count)
        self.row_bytes = int(self._index.code_size) + ID_BYTES
        self._parameters = Parameters(faiss.SearchParametersIVF, "nprobe")
        # A prefetch starts threads that cost more than what they save.
        self._index.parallel_mode = 0
        self._pieces = None if in_ram else _Pieces(self._index.invlists, self.sizes * self.row_bytes)
        if not in_ram and self.hot.any():
            self._move_to_ram()

    def _move_to_ram(self) -> None:
        """Copy the hot lists; faiss looks into the copies first."""
        # Kept on self: faiss holds only raw pointers.
        self._mapped = faiss.downcast_InvertedLists(self._index.invlists)
        self._copies = faiss.ArrayInvertedLists(self.count, self._index.code_size)
        for number in np.flatnonzero(self.hot).tolist():
            if size := self._mapped.list_size(number):
                ids, codes = self._mapped.get_ids(number), self._mapped.get_codes(number)
                self._copies.add_entries(number, size, ids, codes)
        self._both = faiss.MaskedInvertedLists(self._copies, self._mapped)
        self._index.own_invlists = False
        self._index.replace_invlists(self._both, False)

    def __del__(self) -> None:
        # Given back to their index, which then ends them with itself; else the file would be mapped for ever.
        if hasattr(self, "_both"):
            self._index.replace_invlists(self._mapped, True)

    def hold_each_row_once(self) -> bool:
        """Return whether the lists hold the rows 0 to n - 1, each of them once: only those can be re-ranked."""
        seen = np.zeros(self.rows, bool)
        for number in np.flatnonzero(self.sizes).tolist():
            ids = faiss.rev_swig_ptr(self._index.invlists.get_ids(number), int(self.sizes[number]))
            if ids.min() < 0 or ids.max() >= self.rows:
                return False
            seen[ids] = True
        return bool(seen.all()) and int(self.sizes.sum()) == self.rows

    def search(self, queries: Vectors, nprobe: int, wanted: int, selector: faiss.IDSelector | None) -> tuple[Ids, Ids]:
        """Look into the nearest `nprobe` lists for the codes nearest to `queries` `(q, p)`, contiguous float32.

        Returns their rows `(q, wanted)`, best first, and the lists' numbers `(q, nprobe)`; -1 where there is none.
        """
        nearby = self._quantizer if nprobe <= EXACT_COARSE_SHARE * self.count else self._centroids
        distances, numbers = nearest(nearby, queries, nprobe)
        if self._pieces is None:
            return self._look_into(queries, distances, numbers, wanted, selector), numbers
        if self._pieces.ahead.asking:
            self._pieces.look(numbers[(numbers >= 0) & ~self.hot[numbers]])
        before = waits()
        rows = self._look_into(queries, distances, numbers, wanted, selector)
        if waits() > before:
            self._pieces.ahead.asking = True
        return rows, numbers

    def _look_into(
        self, queries: Vectors, distances: Vectors, numbers: Ids, wanted: int, selector: faiss.IDSelector | None
    ) -> Ids:
        count = len(queries)
        scores, rows = np.empty((count, wanted), np.float32), np.empty((count, wanted), np.int64)
        pointer = faiss.swig_ptr
        self._index.search_preassigned_c(
            count,
            pointer(queries),
            wanted,
            pointer(numbers),
            pointer(distances),
            pointer(scores),
            pointer(rows),
            False,
            self._parameters.of(numbers.shape[1], selector),
            None,
        )
        return rows

    @property
    def ram_bytes(self) -> int:
        """What lists in RAM take, and the centroids with their graph."""
        return int(self.sizes[self.hot].sum()) * self.row_bytes + self.coarse_bytes

    @property
    def coarse_bytes(self) -> int:
        return self.count * (4 * int(self._index.d) + 4 * int(self._quantizer.hnsw.nb_neighbors(0)))


class _Pieces:
    """Where in the mapped file each list is: its codes, and its row numbers after them."""

    def __init__(self, lists: faiss.InvertedLists, bytes_by_list: NDArray[np.int64]) -> None:
        count = len(bytes_by_list)
        self._addresses = np.fromiter((int(lists.get_codes(number)) for number in range(count)), np.int64, count)
        self._bytes = bytes_by_list
        self.ahead = Ahead()

    def look(self, numbers: Ids) -> None:
        """Have these lists `(n,)` read from the SSD side by side, as far as they have to be."""
        there = numbers[self._bytes[numbers] > 0]
        self.ahead.look(self._addresses[there], self._bytes[there])


def _mapped_index(path: Path) -> faiss.IndexIVF:
    """Read an index whose lists stay on the SSD, centroids and their graph in RAM: a search goes all over those."""
    index = read_index(path, faiss.IO_FLAG_MMAP_IFC)
    graph = faiss.downcast_index(index.quantizer)
    for holder, name in ((faiss.downcast_index(graph.storage), "codes"), (graph.hnsw, "neighbors")):
        mapped = getattr(holder, name)
        # The mapping stays: it is the lists' as well.
        address, size, size_bytes = mapped.data(), mapped.size(), mapped.byte_size()
        setattr(holder, name, type(mapped)())
        getattr(holder, name).resize(size)
        faiss.memcpy(getattr(holder, name).data(), address, size_bytes)
    return index


def read_index(path: Path, flags: int = 0) -> faiss.IndexIVF:
    """Read an IVF index over an HNSW graph, within limits that the file's size sets; raises SnapshotCorrupt."""
    try:
        with _limits:  # they are faiss's, for the whole process
            faiss.set_deserialization_vector_byte_limit(path.stat().st_size + TABLES_BYTES)
            faiss.set_deserialization_loop_limit(MAX_LISTS)
            # The table would take more memory than the codes, and buys nothing.
            read = faiss.read_index(str(path), flags | faiss.IO_FLAG_SKIP_PRECOMPUTE_TABLE)
    except (OSError, RuntimeError) as error:
        raise SnapshotCorrupt(f"{path}: expected lists, got '{str(error).splitlines()[-1]:.200}'.") from error
    index = faiss.downcast_index(read)
    # The downcast object keeps it alive from here on.
    read.this.disown()
    index.this.own(True)
    graph = faiss.downcast_index(index.quantizer) if isinstance(index, faiss.IndexIVF) else None
    if not isinstance(graph, faiss.IndexHNSW) or not isinstance(faiss.downcast_index(graph.storage), faiss.IndexFlat):
        raise SnapshotCorrupt(
            f"{path}: expected an IVF index over an HNSW graph of vectors, got {type(index).__name__}."
        )
    return index
