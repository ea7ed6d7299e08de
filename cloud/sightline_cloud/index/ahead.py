"""Asks the kernel for all the pieces of mapped files that a search is about to read, instead of waiting for one after another."""

from __future__ import annotations

import ctypes
import mmap
import os
import resource

import numpy as np
from numpy.typing import NDArray

PAGE_BYTES = mmap.PAGESIZE
PROCESS_MADVISE = 440  # the system call's number, the same on every architecture
MAX_RANGES = 1024  # what one call takes
# After so many searches that had pieces asked for, one looks whether there was any need.
LOOK_EVERY = 32

_libc = ctypes.CDLL(None, use_errno=True)


class Ahead:
    """Pieces are all asked for before the first is waited for, as with WILLNEED and pread, in one system call that holds no
    interpreter lock. It takes a good part of a search also for pieces that are in memory, and is left out from when a
    search finds all of them there until one has to wait for the SSD.
    """

    def __init__(self) -> None:
        self._pid_fd = _own_pid_fd()
        # Counted and set without a lock: at worst a search asks once too often, or waits piece by piece once.
        self.asking, self._asked = True, 0

    def __del__(self) -> None:
        if (pid_fd := getattr(self, "_pid_fd", None)) is not None:
            os.close(pid_fd)

    def look(self, addresses: NDArray[np.int64], sizes: NDArray[np.int64] | int) -> None:
        """Ask for the pieces at `addresses` `(n,)`, of so many bytes, while `asking`; now and then see whether to go on so."""
        self._asked += 1
        if self._asked % LOOK_EVERY == 0 and _in_memory(pieces_of(addresses, sizes)):
            self.asking = False
        else:
            self.ask(addresses, sizes)

    def ask(self, addresses: NDArray[np.int64], sizes: NDArray[np.int64] | int) -> None:
        """Have the kernel begin to read the pieces."""
        if self._pid_fd is None:
            return
        pieces = pieces_of(addresses, sizes)
        for start in range(0, len(pieces), MAX_RANGES):
            part = pieces[start : start + MAX_RANGES]
            _libc.syscall(
                PROCESS_MADVISE,
                self._pid_fd,
                ctypes.c_void_p(part.ctypes.data),
                ctypes.c_size_t(len(part)),
                mmap.MADV_WILLNEED,
                0,
            )


def pieces_of(addresses: NDArray[np.int64], sizes: NDArray[np.int64] | int) -> NDArray[np.uint64]:
    """Return begin, at a page, and length `(n, 2)` of each piece."""
    pieces = np.empty((len(addresses), 2), np.uint64)
    begins = addresses // PAGE_BYTES * PAGE_BYTES
    pieces[:, 0], pieces[:, 1] = begins, addresses + sizes - begins
    return pieces


def waits() -> int:
    """Return how often this thread (where the kernel counts by thread) has waited for a page from the disk."""
    return resource.getrusage(getattr(resource, "RUSAGE_THREAD", resource.RUSAGE_SELF)).ru_majflt


def _in_memory(pieces: NDArray[np.uint64]) -> bool:
    """Return whether all pieces can be read without waiting; False where the kernel does not say."""
    there = (ctypes.c_ubyte * (1 + int(pieces[:, 1].max(initial=0)) // PAGE_BYTES))()
    for begin, length in pieces.tolist():
        if _libc.mincore(ctypes.c_void_p(begin), ctypes.c_size_t(length), there):
            return False
        if not all(page & 1 for page in there[: -(-length // PAGE_BYTES)]):
            return False
    return True


def _own_pid_fd() -> int | None:
    """Return a handle on this process; None where the kernel has no such calls: searches then wait piece by piece."""
    try:
        return os.pidfd_open(os.getpid())
    except (AttributeError, OSError):
        return None
