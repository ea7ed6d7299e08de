"""Measured numbers, each with its sample size and a bootstrap interval: retrieval, overlap, telling apart, percentiles.

numpy only: the export, its evaluation and the benchmarks read the same few functions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

RESAMPLES = 1000
DEPTH = 10


@dataclass(frozen=True)
class Figure:
    """One measured number: its value, the 95 % interval, how many it is the mean of, and on what data."""

    value: float
    interval: tuple[float, float] | None
    n: int
    data: str = ""

    def to_dict(self) -> dict[str, object]:
        body = asdict(self)
        body["value"] = round(self.value, 4)
        body["interval"] = None if self.interval is None else [round(bound, 4) for bound in self.interval]
        return body

    def __str__(self) -> str:
        if self.interval is None:
            return f"{self.value:.3f}"
        return f"{self.value:.3f} [{self.interval[0]:.3f}, {self.interval[1]:.3f}]"


def mean_figure(values: Floats, data: str = "", seed: int = 0) -> Figure:
    """Return the mean of per-query `values` `(n,)` with a percentile bootstrap over queries."""
    return statistic_figure(values, lambda drawn: float(drawn.mean()), data, seed)


def statistic_figure(values: Floats, statistic: Callable[[Floats], float], data: str = "", seed: int = 0) -> Figure:
    """Return `statistic` of `values` `(n, ...)` with a percentile bootstrap over rows; of no rows: not a number.

    A statistic of several columns (a ratio of two means, say) is resampled jointly, row by row.
    """
    if not len(values):
        return Figure(float("nan"), (float("nan"), float("nan")), 0, data)
    rng = np.random.default_rng(seed)
    drawn = [statistic(values[rng.integers(0, len(values), len(values))]) for _ in range(RESAMPLES)]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Figure(float(statistic(values)), (float(low), float(high)), len(values), data)


def two_sample_figure(
    inside: Floats,
    outside: Floats,
    statistic: Callable[[Floats, Floats], float],
    data: str = "",
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Figure:
    """Return `statistic(inside, outside)` with a bootstrap over both samples; n counts both."""
    rng = np.random.default_rng(seed)

    def resample(x: Floats) -> Floats:
        return x[rng.integers(0, len(x), len(x))]

    drawn = [statistic(resample(inside), resample(outside)) for _ in range(resamples)]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Figure(statistic(inside, outside), (float(low), float(high)), len(inside) + len(outside), data)


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
    return {
        "R@1": mean_figure(hits_at(hits, 1), data),
        "R@5": mean_figure(hits_at(hits, 5), data),
        "R@10": mean_figure(hits_at(hits, 10), data),
        "mAP@10": mean_figure(average_precision_at(hits, relevant, DEPTH), data),
    }


def hits_at(relevant: NDArray[np.bool_], k: int) -> Floats:
    """Return 1.0 for each row of the ranked `relevant` `(n, ranks) bool` with a relevant item among the first k."""
    hits: Floats = np.asarray(relevant[:, :k].any(axis=1), np.float64)
    return hits


def average_precision_at(relevant: NDArray[np.bool_], totals: NDArray[np.int64], k: int) -> Floats:
    """Return AP@k for each row: mean precision at each relevant rank, over min(k, relevant items in the gallery).

    `relevant` is `(n, ranks) bool` by rank, `totals` `(n,)` how many relevant items the gallery holds for each query.
    """
    first = relevant[:, :k].astype(np.float64)
    precision = np.cumsum(first, axis=1) / np.arange(1, first.shape[1] + 1)
    best = np.maximum(1, np.minimum(k, totals)).astype(np.float64)
    total: Floats = np.asarray(np.einsum("ij,ij->i", precision, first))
    return total / best


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


def auroc(inside: Floats | NDArray[np.float32], outside: Floats | NDArray[np.float32]) -> float:
    """Return the chance that an inside score is above an outside one; ties count half (Mann-Whitney U)."""
    order = np.sort(outside)
    below = np.searchsorted(order, inside, side="left")
    through = np.searchsorted(order, inside, side="right")
    return float((below + through).sum() / (2 * len(inside) * len(outside)))


def auroc_figure(inside: NDArray[np.float32], outside: NDArray[np.float32], data: str, seed: int = 0) -> Figure:
    """Return AUROC with a bootstrap over both sets."""
    scores = inside.astype(np.float64), outside.astype(np.float64)
    return two_sample_figure(*scores, auroc, data, seed=seed, resamples=RESAMPLES // 5)


def fpr_at_tpr(inside: Floats, outside: Floats, tpr: float = 0.95) -> float:
    """Return the share of outside scores at or above the threshold that keeps `tpr` of the inside scores."""
    return float((outside >= np.quantile(inside, 1 - tpr)).mean())


def percentiles(samples: Floats, levels: tuple[float, ...] = (50, 95, 99)) -> dict[str, float]:
    """Return `{"p50": ...}` for each level that the sample is large enough for: n >= 10 / (1 - p)."""
    return {
        f"p{level:g}": float(np.percentile(samples, level))
        for level in levels
        if len(samples) * (100 - level) >= 10 * 100 or level == 50
    }


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
