"""Has the embedding collapsed? The spectrum of its covariance, and how evenly the gallery is returned.

A student can score well on the classes it knows while it uses a handful of directions; what is new then lands on
what is known. Effective rank: Roy and Vetterli 2007. Hubness: Radovanovic et al. 2010, section 3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from sightline_export.evaluate import Figure, Floats, top_rows
from sightline_export.evaluation.questions import Vectors

NEIGHBOURS = 10
RESAMPLES = 100
TINY = 1e-12


def spectrum(vectors: Vectors) -> Floats:
    """Return the eigenvalues `(d,)` of the covariance of `vectors` `(n, d)`, largest first, as shares of their sum."""
    return _spectrum(vectors.astype(np.float64), np.ones(len(vectors)))


def participation_ratio(shares: Floats) -> float:
    """Return (sum of l)^2 / sum of l^2 of eigenvalues `(d,)`: d when all are equal, 1 when one has everything, 0 without variance."""
    return float(shares.sum() ** 2 / max(float((shares**2).sum()), TINY))


def effective_rank(shares: Floats) -> float:
    """Return exp of the entropy of the eigenvalues' shares `(d,)`: d when all are equal, 1 when one has everything."""
    positive = shares[shares > 0] / max(float(shares.sum()), TINY)
    return float(np.exp(-(positive * np.log(positive)).sum()))


def neighbour_entropy(counts: NDArray[np.int64]) -> float:
    """Return the entropy of how often each gallery row `(g,)` stands in a list, as a share of the greatest possible.

    The greatest is that of every row standing there equally often, or, when the lists have fewer places than the
    gallery has rows, of no row standing there twice.
    """
    total = int(counts.sum())
    shares = counts[counts > 0] / total
    return float(-(shares * np.log(shares)).sum() / np.log(min(len(counts), total)))


def collapse_figures(gallery: Vectors, queries: Vectors, data: str, seed: int) -> dict[str, Figure]:
    """Return participation ratio, effective rank, neighbour entropy, and the share of rows that no list holds.

    Intervals: bootstrap standard errors over gallery rows for the spectrum, over queries for the neighbours.
    """
    figures = {
        "collapse.participation_ratio": _spectral(gallery, participation_ratio, data, seed),
        "collapse.effective_rank": _spectral(gallery, effective_rank, data, seed),
    }
    lists = top_rows(queries, gallery, min(NEIGHBOURS, len(gallery)))
    width = len(gallery)

    def counted(rows: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.bincount(rows.ravel(), minlength=width)

    asked = f"{data}; top {lists.shape[1]} of {len(queries)} queries"
    rows = lists
    rng = np.random.default_rng(seed)
    drawn = [neighbour_entropy(counted(rows[rng.integers(0, len(rows), len(rows))])) for _ in range(RESAMPLES)]
    figures["collapse.neighbour_entropy"] = _around(neighbour_entropy(counted(rows)), drawn, len(rows), asked)
    never = (counted(rows) == 0).mean()
    figures["collapse.never_returned"] = Figure(float(never), None, width, asked)
    return figures


def _spectral(vectors: Vectors, statistic: Callable[[Floats], float], data: str, seed: int) -> Figure:
    rng = np.random.default_rng(seed)
    rows = vectors.astype(np.float64)
    drawn = [
        statistic(_spectrum(rows, np.bincount(rng.integers(0, len(rows), len(rows)), minlength=len(rows))))
        for _ in range(RESAMPLES)
    ]
    return _around(statistic(spectrum(vectors)), drawn, len(rows), data)


def _around(value: float, drawn: Sequence[float], n: int, data: str) -> Figure:
    """Return the figure with 1.96 bootstrap standard errors on both sides.

    No percentiles here: a row that is drawn twice makes every resample look less even than the sample.
    """
    error = 1.96 * float(np.std(drawn))
    return Figure(value, (value - error, value + error), n, data)


def _spectrum(rows: Floats, weights: NDArray[np.float64] | NDArray[np.int64]) -> Floats:
    total = weights.sum()
    mean = weights @ rows / total
    centred = (rows - mean) * np.sqrt(weights / total)[:, None]
    values: Floats = np.maximum(np.linalg.eigvalsh(centred.T @ centred)[::-1], 0.0)
    return values / max(float(values.sum()), TINY)
