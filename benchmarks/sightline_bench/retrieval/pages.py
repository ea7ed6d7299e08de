"""The page cache: dropping a contender's files from it, and seeing what is left."""

from __future__ import annotations

import ctypes
import mmap
import os
from pathlib import Path

import numpy as np

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
_libc.mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p]
_libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


def files_under(folder: Path) -> list[Path]:
    """Return all regular files under `folder`."""
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink()]


def drop(files: list[Path]) -> None:
    """Have the kernel forget the cached pages of `files`, those among them that this process maps.

    What a hypervisor or the disk itself caches stays: a read after this is cold for the machine only.
    """
    _unmap_pages({str(path.resolve()) for path in files})
    for path in files:
        handle = os.open(path, os.O_RDONLY)
        try:
            # Pages that are not written yet cannot be dropped.
            os.fdatasync(handle)
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(handle)


def resident_share(files: list[Path]) -> float:
    """Return which share of the bytes of `files` is in the page cache."""
    resident = total = 0
    for path in files:
        size = path.stat().st_size
        if not size:
            continue
        pages = -(-size // mmap.PAGESIZE)
        states = (ctypes.c_ubyte * pages)()
        handle = os.open(path, os.O_RDONLY)
        try:
            place = _libc.mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, handle, 0)
            _libc.mincore(place, size, states)
            _libc.munmap(place, size)
        finally:
            os.close(handle)
        resident += int((np.frombuffer(bytes(states), np.uint8) & 1).sum())
        total += pages
    return resident / total if total else 0.0


def _unmap_pages(names: set[str]) -> None:
    """Give back the pages of this process's read-only maps of files; they are read again when they are asked for."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        place, access, _, _, _, *name = line.split(maxsplit=5)
        if name and name[0] in names and "w" not in access:
            start, stop = (int(end, 16) for end in place.split("-"))
            _libc.madvise(start, stop - start, mmap.MADV_DONTNEED)
