"""Exact nearest neighbours, chunk by chunk, and what they say about the data."""

from __future__ import annotations

from collections.abc import Iterable

import faiss
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]


class ExactSearch:
    """The best `k` rows by cosine for `queries` `(q, d) float32`, over vectors of unit length that come in chunks."""

    def __init__(self, queries: Floats, k: int) -> None:
        self._queries = np.ascontiguousarray(queries, np.float32)
        self._seen = 0
        self.scores = np.full((len(queries), k), -np.inf, np.float32)
        self.rows = np.full((len(queries), k), -1, np.int64)

    def add(self, vectors: Floats) -> None:
        k = self.rows.shape[1]
        scores, rows = faiss.knn(
            self._queries, np.ascontiguousarray(vectors, np.float32), k, metric=faiss.METRIC_INNER_PRODUCT
        )
        rows = np.where(rows >= 0, rows + self._seen, -1)
        scores = np.where(rows >= 0, scores, -np.inf)
        self._seen += len(vectors)
        scores, rows = np.hstack([self.scores, scores]), np.hstack([self.rows, rows])
        best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        self.scores = np.take_along_axis(scores, best, axis=1)
        self.rows = np.take_along_axis(rows, best, axis=1)


def exact(queries: Floats, chunks: Iterable[Floats], k: int) -> tuple[Floats, Rows]:
    """Return cosines and rows `(q, k)`, best first; row -1 where there are fewer than k vectors."""
    search = ExactSearch(queries, k)
    for chunk in chunks:
        search.add(chunk)
    return search.scores, search.rows


def recall(found: Rows, truth: Rows) -> NDArray[np.float64]:
    """Return each query's share of its true neighbours `(q, k)` among `found` `(q, >= k)`; -1 in `truth` counts for nothing.

    A query without any true neighbour is not a number.
    """
    wanted = truth >= 0
    hits = (found[:, : truth.shape[1], None] == truth[:, None, :]).any(axis=1) & wanted
    with np.errstate(invalid="ignore"):
        shares: NDArray[np.float64] = hits.sum(axis=1) / wanted.sum(axis=1)
    return shares


def two_nn(scores: Floats) -> float:
    """Return the intrinsic dimension that queries see, by the ratio of their second to their first neighbour's distance.

    `scores` `(q, >= 2)` are cosines, best first. Maximum likelihood form of TwoNN (Facco et al., Scientific Reports 2017).
    """
    squared = np.maximum(2 - 2 * scores[:, :2].astype(np.float64), 1e-12)
    ratios = 0.5 * np.log(squared[:, 1] / squared[:, 0])
    ratios = ratios[ratios > 0]
    return float(len(ratios) / ratios.sum()) if len(ratios) else float("nan")
