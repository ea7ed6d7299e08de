"""One tenant's catalogue with its indexes in a tier of choice, and brute force over it."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sightline_cloud.index.tenants import TenantIndexes
from sightline_cloud.settings import Settings
from sightline_shared.codec import Codec
from sightline_shared.where import Where
from support.galleries import DIM, clustered, codec_of
from support.list_feed import ListFeed, may_answer

TENANT = "shop"
K = 10
SMALL: dict[str, Any] = {"ivf_min_vectors": 1000, "filter_keys": ("colour", "available")}


class Shop:
    """A catalogue in memory, `indexes` over it, and the true answers."""

    def __init__(self, folder: Path, codec: Codec | None = None, **settings: Any) -> None:
        self.folder, self.settings, self.codec = folder, Settings(**{**SMALL, **settings}), codec or codec_of()
        self.feed = ListFeed(self.codec)
        self._seen: tuple[int, np.ndarray, np.ndarray] | None = None

    def add(self, vectors: np.ndarray, metadata: Sequence[Mapping[str, Any]] | None = None) -> list[int]:
        """Add items to the catalogue; the indexes follow at the next `catch_up`."""
        return self.feed.add(TENANT, vectors, metadata)

    def open(self) -> TenantIndexes:
        """Open the indexes, or open them again as a restart does."""
        self.indexes = TenantIndexes(self.feed, self.codec, self.settings, self.folder)
        return self.indexes

    def search(self, queries: np.ndarray, k: int = K, where: Where | None = None) -> list[list[int]]:
        """Return the pks that the index answers, a list a query; checks that cosines are sorted and places filled from the front."""
        cosines, pks = self.indexes.search(TENANT, queries, k, where)
        assert (np.diff(np.nan_to_num(cosines, neginf=-2.0), axis=1) <= 0).all()
        found = [[int(pk) for pk in own if pk >= 0] for own in pks]
        assert all((own[: len(there)] >= 0).all() for own, there in zip(pks, found, strict=True))
        assert all(len(set(there)) == len(there) for there in found), "an item answered twice"
        return found

    def exact(
        self, queries: np.ndarray, k: int = K, passes: Callable[[Mapping[str, Any]], bool] | None = None
    ) -> list[list[int]]:
        """Return the true answers among items that `passes` lets through, the slow way."""
        pks, vectors = self._arrays()
        if passes:
            kept = np.array([passes(self.feed.items[int(pk)][3]) for pk in pks], bool)
            pks, vectors = pks[kept], vectors[kept]
        order = np.argsort(-(queries @ vectors.T), axis=1, kind="stable")[:, :k]
        return [pks[own].tolist() for own in order]

    def recall(self, queries: np.ndarray, k: int = K, where: Where | None = None, passes: Any = None) -> float:
        """Return the share of the true answers that the index finds."""
        return recall(self.search(queries, k, where), self.exact(queries, k, passes))

    def _arrays(self) -> tuple[np.ndarray, np.ndarray]:
        if self._seen is None or self._seen[0] != self.feed.position():
            items = {pk: item for pk, item in self.feed.items.items() if may_answer(item[3])}
            vectors = np.array([item[1] for item in items.values()], np.float32).reshape(-1, self.codec.dim)
            self._seen = self.feed.position(), np.array(list(items), np.int64), vectors
        return self._seen[1], self._seen[2]


def recall(found: Sequence[Sequence[int]], true: Sequence[Sequence[int]]) -> float:
    """Return the share of `true` that is in `found`; 1 when there is nothing to find."""
    wanted = sum(map(len, true))
    return sum(len(set(own) & set(those)) for own, those in zip(found, true, strict=True)) / wanted if wanted else 1.0


def queries(count: int = 50, dim: int = DIM, seed: int = 77) -> np.ndarray:
    """Return queries like the gallery's vectors, none of which is in it."""
    return clustered(count, seed=seed, dim=dim)
