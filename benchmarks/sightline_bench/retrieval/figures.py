"""Figures from what was measured: recall, milliseconds, ratios, each with its interval."""

from __future__ import annotations

from typing import Any

import numpy as np

from sightline_bench.retrieval.measure import Asked, K, Rows, Times
from sightline_bench.retrieval.truth import recall
from sightline_export.evaluate import mean_figure, percentiles, statistic_figure

ENOUGH_RECALL = 0.95


def point(effort: int, asked: Asked, truth: Rows, limit: Asked | None) -> dict[str, Any]:
    """Return one operating point; `limit`: what the bare library did with the same queries at the same effort."""
    found = mean_figure(recall(asked.rows, truth[:, :K]))
    made = {"effort": effort, "recall": found.to_dict(), **times(asked)}
    return made if limit is None else made | {"against_limit": against(asked, limit)}


def times(asked: Asked) -> dict[str, Any]:
    """Return percentiles of milliseconds a query."""
    return {"cpu_ms": _milliseconds(asked.cpu_us), "wall_ms": _milliseconds(asked.wall_us)}


def against(asked: Asked, other: Asked) -> dict[str, Any]:
    """Return the ratio of the medians of CPU and wall time, query by query the median of the rounds."""
    return {name: _ratio(getattr(asked, f"{name}_us"), getattr(other, f"{name}_us")) for name in ("cpu", "wall")}


def chosen(points: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the cheapest point with enough recall, else the one with the most."""
    enough = [point for point in points if point["recall"]["value"] >= ENOUGH_RECALL]
    if enough:
        return min(enough, key=lambda point: float(point["cpu_ms"]["p50"]))
    return max(points, key=lambda point: float(point["recall"]["value"]))


def throughput(batches: list[dict[str, Any]]) -> dict[str, float]:
    """Return queries a second, the best of the rounds, by wall time and by CPU time."""
    return {
        f"per_{kind}_s": round(max(batch["queries"] / batch[f"{kind}_s"] for batch in batches), 1)
        for kind in ("wall", "cpu")
    }


def _milliseconds(values_us: Times) -> dict[str, float]:
    ms = values_us.ravel() / 1000
    return {name: round(value, 4) for name, value in {**percentiles(ms), "mean": float(ms.mean())}.items()}


def _ratio(own: Times, other: Times) -> dict[str, object]:
    pairs = np.stack([np.median(own, axis=0), np.median(other, axis=0)], axis=1)
    return statistic_figure(pairs, lambda x: float(np.median(x[:, 0]) / np.median(x[:, 1]))).to_dict()
