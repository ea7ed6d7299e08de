"""The seam of the benchmark: what a contender can do, inside a process of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float16]
Queries = NDArray[np.float32]
Rows = NDArray[np.int64]

BUILD_CHUNK = 50_000


class Contender(Protocol):
    """One library at its documented settings."""

    @property
    def version(self) -> str: ...

    @property
    def settings(self) -> dict[str, Any]:
        """What was chosen, for the report."""
        ...

    @property
    def efforts(self) -> tuple[int, ...]:
        """The operating points, cheapest first: `settings["effort"]` says what the number is."""
        ...

    @property
    def reads_vectors(self) -> bool:
        """Whether answers need `vectors_file` too, beside the files in the folder."""
        ...

    def open(self, vectors_file: Path, folder: Path) -> None:
        """Make ready to answer, with one thread, from what another process built into `folder`."""
        ...

    def search(self, queries: Queries, k: int, effort: int, threads: int = 1) -> Rows:
        """Return the rows `(q, k)` of the nearest vectors, best first; -1 fills places without one."""
        ...


class Building(Contender, Protocol):
    """A contender that does not open what another one built."""

    def build(self, vectors_file: Path, folder: Path, threads: int) -> None:
        """Index the `(n, d) float16` of `vectors_file` into files in `folder`."""
        ...


class Filtering(Contender, Protocol):
    """A contender that can look at some rows only."""

    def restrict(self, passing: int | None) -> None:
        """Answer from the rows whose bucket (see `buckets`) is below `passing` from now on; None: from all."""
        ...


def mapped(vectors_file: Path) -> Vectors:
    """Return the vectors without reading them."""
    vectors: Vectors = np.load(vectors_file, mmap_mode="r")
    return vectors


def sampled(vectors: Vectors, most: int) -> Queries:
    """Return a seeded sample of rows as float32, for training."""
    if len(vectors) <= most:
        return vectors.astype(np.float32)
    rows = np.sort(np.random.default_rng(0).choice(len(vectors), most, replace=False))
    return vectors[rows].astype(np.float32)


def padded(found: list[Rows], k: int) -> Rows:
    """Return lists of rows as one `(q, k)` array, filled with -1."""
    rows = np.full((len(found), k), -1, np.int64)
    for place, some in zip(rows, found, strict=True):
        place[: len(some)] = some[:k]
    return rows
