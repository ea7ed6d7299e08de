"""Retrieval figures, each with its number of queries and a bootstrap interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 1000
DEPTH = 10


@dataclass(frozen=True)
class Figure:
    """One measured number: its value, the 95 % interval, how many it is the mean of, and on what data."""

    value: float
    interval: tuple[float, float] | None
    n: int
    data: str

    def to_dict(self) -> dict[str, object]:
        body = asdict(self)
        body["value"] = round(self.value, 4)
        body["interval"] = None if self.interval is None else [round(bound, 4) for bound in self.interval]
        return body


def mean_figure(values: NDArray[np.float64], data: str, seed: int = 0) -> Figure:
    """Return the mean of per-query `values` `(n,)` with a percentile bootstrap over queries."""
    rng = np.random.default_rng(seed)
    means = [values[rng.integers(0, len(values), len(values))].mean() for _ in range(RESAMPLES)]
    low, high = np.percentile(means, [2.5, 97.5])
    return Figure(float(values.mean()), (float(low), float(high)), len(values), data)


def retrieval(
    queries: NDArray[np.float32],
    query_labels: Sequence[str],
    gallery: NDArray[np.float32],
    gallery_labels: Sequence[str],
    data: str,
    *,
    leave_self_out: bool = False,
) -> dict[str, Figure]:
    """Return R@1, R@5, R@10 and mAP@10 of `(n, d)` queries against a `(g, d)` gallery, by cosine.

    A gallery row is relevant when its label is the query's. mAP@10 divides by min(10, relevant rows). Queries without
    a relevant row are left out; with `leave_self_out` queries and gallery are the same rows and row i is not an answer
    to query i. Empty when no query is left.
    """
    wanted, given = np.asarray(query_labels), np.asarray(gallery_labels)
    hits, relevant = _hits(queries, wanted, gallery, given, leave_self_out)
    usable = relevant > 0
    if not usable.any():
        return {}
    hits, relevant = hits[usable], relevant[usable]
    ranks = np.arange(1, hits.shape[1] + 1)
    precision = np.cumsum(hits, axis=1) / ranks
    average = (precision * hits).sum(axis=1) / np.minimum(relevant, DEPTH)
    return {
        "R@1": mean_figure(hits[:, 0].astype(np.float64), data),
        "R@5": mean_figure(np.asarray(hits[:, :5].any(axis=1), dtype=np.float64), data),
        "R@10": mean_figure(np.asarray(hits.any(axis=1), dtype=np.float64), data),
        "mAP@10": mean_figure(average, data),
    }


def top_rows(
    queries: NDArray[np.float32], gallery: NDArray[np.float32], k: int, leave_self_out: bool = False
) -> NDArray[np.int64]:
    """Return the rows `(n, k) int64` of the gallery nearest to each query by inner product, best first."""
    scores = queries @ gallery.T
    if leave_self_out:
        np.fill_diagonal(scores, -np.inf)
    best: NDArray[np.int64] = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return best


def overlap(reference: NDArray[np.int64], other: NDArray[np.int64], data: str) -> Figure:
    """Return the mean share of each `(k,)` reference row that the other row holds as well."""
    shares = [len(set(a.tolist()) & set(b.tolist())) / len(a) for a, b in zip(reference, other, strict=True)]
    return mean_figure(np.asarray(shares, dtype=np.float64), data)


def auroc(inside: NDArray[np.float32], outside: NDArray[np.float32]) -> float:
    """Return the chance that an inside score is above an outside score; ties count half."""
    scores = np.concatenate([inside, outside])
    order = np.argsort(scores, kind="stable")
    ranks = np.empty(len(scores))
    ranks[order] = np.arange(1, len(scores) + 1)
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    sums = np.zeros(len(counts))
    np.add.at(sums, inverse, ranks)
    ranks = (sums / counts)[inverse]
    n, m = len(inside), len(outside)
    return float((ranks[:n].sum() - n * (n + 1) / 2) / (n * m))


def auroc_figure(inside: NDArray[np.float32], outside: NDArray[np.float32], data: str, seed: int = 0) -> Figure:
    """Return AUROC with a bootstrap over both sets."""
    rng = np.random.default_rng(seed)
    values = [auroc(rng.choice(inside, len(inside)), rng.choice(outside, len(outside))) for _ in range(RESAMPLES // 5)]
    low, high = np.percentile(values, [2.5, 97.5])
    return Figure(auroc(inside, outside), (float(low), float(high)), len(inside) + len(outside), data)


def _hits(
    queries: NDArray[np.float32],
    wanted: NDArray[np.str_],
    gallery: NDArray[np.float32],
    given: NDArray[np.str_],
    leave_self_out: bool,
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    best = top_rows(queries, gallery, min(DEPTH, len(gallery) - int(leave_self_out)), leave_self_out)
    hits: NDArray[np.bool_] = given[best] == wanted[:, None]
    names, counts = np.unique(given, return_counts=True)
    table = dict(zip(names.tolist(), counts.tolist(), strict=True))
    relevant = np.array([table.get(name, 0) for name in wanted.tolist()], dtype=np.int64)
    return hits, relevant - int(leave_self_out)
