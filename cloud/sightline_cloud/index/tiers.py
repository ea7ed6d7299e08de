"""A large tenant's index: the static main part, and the delta of what came since."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sightline_cloud.catalog.feed import Rows
from sightline_cloud.index.base import Ids, Vectors
from sightline_cloud.index.delta import DeltaIndex
from sightline_cloud.index.main import MainIndex
from sightline_cloud.index.merge import merge
from sightline_shared.where import Where


class TieredIndex:
    """Main and delta, searched together; an item is in one of them."""

    kind = "ivf"

    def __init__(self, main: MainIndex, delta: DeltaIndex) -> None:
        self.main, self.delta = main, delta

    def __len__(self) -> int:
        return len(self.main) + len(self.delta)

    def add(self, rows: Rows) -> None:
        # In this order a search always meets the item, at worst in both, and the merge keeps one.
        self.delta.add(rows)
        self.main.remove(rows.pks.tolist())

    def update(self, rows: Rows) -> None:
        self.main.update(rows)
        self.delta.update(rows)

    def remove(self, pks: Sequence[int]) -> int:
        return self.main.remove(pks) + self.delta.remove(pks)

    def search(self, queries: Vectors, k: int, where: Where | None = None, effort: float = 1.0) -> tuple[Vectors, Ids]:
        found = self.main.search(queries, k, where, effort)
        return merge([found, self.delta.search(queries, k, where)], k) if len(self.delta) else found

    def pks(self) -> Ids:
        return np.union1d(self.main.pks(), self.delta.pks())

    def stats(self) -> dict[str, Any]:
        main, delta = self.main.stats(), self.delta.stats()
        return {
            **main,
            "kind": self.kind,
            "vectors": len(self),
            "delta": delta["vectors"],
            "tombstones": main["tombstones"] + delta["tombstones"],
            "ram_bytes": main["ram_bytes"] + delta["ram_bytes"],
        }
