"""Pictures of a `bench retrieval` result: recall against CPU time, against the latency's tail, and against RAM."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sightline_bench.report.latency import as_png, canvas
from sightline_bench.retrieval.plot import draw, looks_of

WIDTH, HEIGHT = 16.5, 4.9


def against_costs(result: Mapping[str, Any]) -> bytes:
    """Return a PNG of three panels; raises ExtraMissing without matplotlib."""
    pyplot = canvas()
    figure, panels = pyplot.subplots(1, 3, figsize=(WIDTH, HEIGHT), sharey=True)
    n = result["scenario"]["data"]["n"]
    looks = looks_of([result], pyplot)
    draw(panels[0], result, looks, lambda one, at: at["cpu_ms"]["p50"])
    draw(panels[1], result, looks, lambda one, at: at["wall_ms"].get("p99"))
    draw(panels[2], result, looks, lambda one, at: one["memory"]["anonymous_bytes"] / n)
    for panel, label in zip(
        panels, ("CPU ms a query, median", "wall ms a query, p99", "bytes of RAM a vector"), strict=True
    ):
        panel.set_xlabel(label)
    panels[0].set_ylabel("recall@10")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8)
    figure.tight_layout()
    return as_png(pyplot, figure)
