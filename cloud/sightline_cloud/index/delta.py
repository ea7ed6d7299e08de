"""The delta: what came since the main index was built, findable at once."""

from __future__ import annotations

from collections.abc import Iterable

import faiss

from sightline_cloud.index.base import Ids, Vectors
from sightline_cloud.index.calls import Parameters, nearest
from sightline_cloud.index.flat import FlatIndex
from sightline_cloud.index.marks import Allowed

HNSW_LINKS = 16
EF_SEARCH = 64
# So few rows are compared faster than a graph is walked.
EXACT_ROWS = 2000
# A graph loses its way when most of what it meets does not count.
MIN_SHARE = 0.7


class DeltaIndex(FlatIndex):
    """An HNSW graph over float16 vectors, exact where it has to be: with few rows, and when a filter hides many.

    The vectors are those of the catalogue, so that cosines need no second look; 8-bit ones are no faster.
    """

    kind = "delta"

    def __init__(self, dim: int, filter_keys: Iterable[str]) -> None:
        self._graph = faiss.IndexHNSWSQ(dim, faiss.ScalarQuantizer.QT_fp16, HNSW_LINKS, faiss.METRIC_INNER_PRODUCT)
        self._graph.is_trained = True
        self._parameters = Parameters(faiss.SearchParametersHNSW, "efSearch")
        super().__init__(dim, filter_keys)

    def _storage(self, dim: int) -> faiss.Index:
        return faiss.downcast_index(self._graph.storage)

    def _append(self, vectors: Vectors) -> None:
        self._graph.add(vectors)

    def _nearest(self, queries: Vectors, k: int, allowed: Allowed) -> tuple[Vectors, Ids]:
        if len(self._ids) <= EXACT_ROWS or allowed.count < MIN_SHARE * len(self._ids):
            return super()._nearest(queries, k, allowed)
        parameters = self._parameters.of(max(EF_SEARCH, k), allowed.selector)
        cosines, rows = nearest(self._graph, queries, k, parameters)
        if -1 in rows[:, min(k, allowed.count) - 1].tolist():
            return super()._nearest(queries, k, allowed)
        return cosines, rows

    def _row_bytes(self) -> int:
        links = 2 * HNSW_LINKS * 4 + 16
        return super()._row_bytes() + links
