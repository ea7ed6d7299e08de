"""The seam between catalogue and indexes: what an index may ask of the truth that it is built from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Op = Literal["add", "update", "remove"]


@dataclass(frozen=True)
class Change:
    """One line of the change log. "update": the metadata of `pk` changed, its vector did not."""

    seq: int
    tenant: str
    pk: int
    op: Op


@dataclass(frozen=True, eq=False)
class Rows:
    """Items as indexes need them, in ascending order of pk.

    `pks` `(n,) int64`, `vectors` `(n, d) float16` of unit length, `codes` `(n, m) uint8` as the bundle's codec gave them,
    `metadata` n maps of scalars, which filters look at.
    """

    pks: NDArray[np.int64]
    vectors: NDArray[np.float16]
    codes: NDArray[np.uint8]
    metadata: Sequence[Mapping[str, Any]]

    def __len__(self) -> int:
        return len(self.pks)


@dataclass(frozen=True)
class Snapshot:
    """One consistent view of one tenant's items: the log's position `seq`, and all `count` rows in chunks, ascending pk.

    Rows that are not as they were stored are left out: their pks are in `damaged` when all chunks have been read.
    """

    seq: int
    count: int
    chunks: Iterator[Rows]
    damaged: list[int] = field(default_factory=list)


class Feed(Protocol):
    """One generation's vectors in one catalogue. Every method raises StoreError when the catalogue cannot be read."""

    @property
    def catalogue_id(self) -> str:
        """A random name that the catalogue got when it was made: files built from another catalogue never match it."""
        ...

    def position(self) -> int:
        """Return the number of the last acknowledged change."""
        ...

    def tenants(self) -> dict[str, int]:
        """Return how many items each tenant has."""
        ...

    def changes_since(self, seq: int, limit: int = 10_000) -> list[Change]:
        """Return the next changes after `seq`, in order; raises ChangesPruned when they are not kept any more."""
        ...

    def rows(self, pks: Sequence[int]) -> Rows:
        """Return those of `pks` that are still there; raises StoreCorrupt when one is not as it was stored."""
        ...

    def snapshot(self, tenant: str, chunk: int = 65_536) -> AbstractContextManager[Snapshot]:
        """Open a consistent view; memory is bounded by one chunk."""
        ...
