"""True cosines of the best candidates, from the float16 vectors on the SSD."""

from __future__ import annotations

import ctypes
import mmap
import os
import resource
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sightline_cloud.index.base import Ids, Vectors

PAGE_BYTES = mmap.PAGESIZE
PROCESS_MADVISE = 440  # the system call's number, the same on every architecture
MAX_RANGES = 1024  # what one call takes
# After so many searches that had rows asked for, one looks whether there was any need.
LOOK_EVERY = 32
# A float16's bits, moved to a float32's places, are the number times 2^-112: the queries are scaled up for it. numpy's
# own conversion takes as long as all the rest of the re-rank.
HALF_SCALE = np.float32(2.0**112)
HALF_MASK = np.int32(-0x70002000)  # sign, exponent and fraction in place, nothing else

_libc = ctypes.CDLL(None, use_errno=True)


class Reranker:
    """A file of vectors `(n, d) float16`, row by row, mapped and never read ahead.

    Rows that are not in memory are all asked for before the first is waited for, as with WILLNEED and pread, in one
    system call that holds no interpreter lock. It takes as long as the rest of the re-rank also for rows that are there, and
    is left out from when a search finds all its rows in memory until one has to wait for the SSD.
    """

    def __init__(self, path: Path, dim: int) -> None:
        self._dim, self._row_bytes = dim, 2 * dim
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        if hasattr(mmap, "MADV_RANDOM"):
            self._map.madvise(mmap.MADV_RANDOM)
        self._vectors = np.frombuffer(self._map, np.int16).reshape(-1, dim)
        self._pid_fd = _own_pid_fd()
        # Counted and set without a lock: at worst a search asks once too often, or waits row by row once.
        self._asking, self._asked = True, 0

    def __del__(self) -> None:
        if (pid_fd := getattr(self, "_pid_fd", None)) is not None:
            os.close(pid_fd)

    def cosines(self, query: Vectors, rows: Ids) -> Vectors:
        """Return the cosines `(n,)` of `rows` `(n,)`, all at least 0, with `query` `(d,)`."""
        if self._asking:
            self._asked += 1
            if self._asked % LOOK_EVERY == 0 and self._in_memory(rows):
                self._asking = False
            else:
                self._ask_for(rows)
        faults = _faults()
        bits = self._vectors.take(rows, axis=0).astype(np.int32)
        if _faults() > faults:
            self._asking = True
        bits <<= 13
        bits &= HALF_MASK
        cosines: Vectors = bits.view(np.float32) @ (query * HALF_SCALE)
        return cosines

    def _in_memory(self, rows: Ids) -> bool:
        """Return whether all of `rows` can be read without waiting; False where the kernel does not say."""
        base, there = self._vectors.ctypes.data, (ctypes.c_ubyte * (2 + self._row_bytes // PAGE_BYTES))()
        for first in (rows * self._row_bytes).tolist():
            begin = first // PAGE_BYTES * PAGE_BYTES
            length = first + self._row_bytes - begin
            if _libc.mincore(ctypes.c_void_p(base + begin), ctypes.c_size_t(length), there):
                return False
            if not all(page & 1 for page in there[: -(-length // PAGE_BYTES)]):
                return False
        return True

    def _ask_for(self, rows: Ids) -> None:
        if self._pid_fd is None:
            return
        first = rows * self._row_bytes
        begin = first // PAGE_BYTES * PAGE_BYTES
        ranges = np.empty((len(rows), 2), np.uint64)
        ranges[:, 0] = begin + self._vectors.ctypes.data
        ranges[:, 1] = first + self._row_bytes - begin
        for start in range(0, len(rows), MAX_RANGES):
            piece = ranges[start : start + MAX_RANGES]
            _libc.syscall(
                PROCESS_MADVISE,
                self._pid_fd,
                ctypes.c_void_p(piece.ctypes.data),
                ctypes.c_size_t(len(piece)),
                mmap.MADV_WILLNEED,
                0,
            )


def _faults() -> int:
    """Return how often this thread (where the kernel counts by thread) has waited for a page from the disk."""
    return resource.getrusage(getattr(resource, "RUSAGE_THREAD", resource.RUSAGE_SELF)).ru_majflt


def _own_pid_fd() -> int | None:
    """Return a handle on this process; None where the kernel has no such calls: re-ranking then waits row by row."""
    try:
        return os.pidfd_open(os.getpid())
    except (AttributeError, OSError):
        return None


def read_vectors(path: Path, dim: int, start: int, count: int) -> NDArray[np.float16]:
    """Return rows `start` to `start + count` of such a file, read in order."""
    return np.fromfile(path, np.float16, count * dim, offset=2 * dim * start).reshape(-1, dim)
