"""How far a score can be believed, and what is taken for what."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sightline_export.evaluate import Figure, Floats, statistic_figure

BINS = 10


def reliability(scores: Floats, right: Floats, bins: int = BINS) -> list[dict[str, float]]:
    """Return for each of `bins` equally full bins of `scores` `(n,)`: mean score, share that was right, and n.

    `right` `(n,)` is 1.0 where the answer with that score was right. Bins without a row are left out.
    """
    order = np.argsort(scores, kind="stable")
    return [
        {
            "score": round(float(scores[rows].mean()), 4),
            "right": round(float(right[rows].mean()), 4),
            "n": float(len(rows)),
        }
        for rows in np.array_split(order, bins)
        if len(rows)
    ]


def expected_calibration_error(confidences: Floats, right: Floats, data: str, bins: int = BINS) -> Figure:
    """Return the mean distance of confidence and accuracy over `bins` equally wide bins (Guo et al. 2017, section 2)."""
    rows = np.stack([confidences, right], axis=1)

    def error(drawn: Floats) -> float:
        places = np.minimum((drawn[:, 0] * bins).astype(np.int64), bins - 1)
        gaps = [abs(float((drawn[places == place, 0] - drawn[places == place, 1]).sum())) for place in range(bins)]
        return sum(gaps) / len(drawn)

    return statistic_figure(rows, error, data)


def confusion(truth: Sequence[str], said: Sequence[str], labels: Sequence[str]) -> list[list[int]]:
    """Return how often row label was called column label; what is not among `labels` is left out."""
    places = {label: place for place, label in enumerate(labels)}
    table: NDArray[np.int64] = np.zeros((len(labels), len(labels)), dtype=np.int64)
    for one, other in zip(truth, said, strict=True):
        if one in places and other in places:
            table[places[one], places[other]] += 1
    counts: list[list[int]] = table.tolist()
    return counts


def semantic_detail(
    probabilities: NDArray[np.float32], truth: Sequence[str], labels: Sequence[str]
) -> dict[str, object]:
    """Return what the model card draws of a semantic head: labels, confusion and reliability.

    `probabilities` `(n, c)` in the order of `labels`; photographs whose `truth` is no label are left out.
    """
    known = [row for row, name in enumerate(truth) if name in set(labels)]
    best = probabilities[known].argmax(axis=1)
    right = np.array([labels[place] == truth[row] for place, row in zip(best, known, strict=True)], dtype=np.float64)
    return {
        "labels": list(labels),
        "confusion": confusion([truth[row] for row in known], [labels[place] for place in best], labels),
        "reliability": reliability(probabilities[known].max(axis=1).astype(np.float64), right),
    }
