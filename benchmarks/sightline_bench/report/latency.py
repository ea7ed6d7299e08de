"""Plots of raw samples: the latency spectrum, which shows the tail, and the cumulative share, which shows the bulk."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sightline_bench.stats import enough_for
from sightline_shared.errors import ExtraMissing

# In one picture; of more, those with the largest medians are shown, and the caption says so.
MOST_SERIES = 12
LEVELS = (50.0, 90.0, 95.0, 99.0, 99.9, 99.99)
WIDTH, HEIGHT = 13.0, 4.6


def plots(samples: Mapping[str, Sequence[float]], unit: str) -> bytes:
    """Return a PNG: at the left time against percentile, both on logarithmic scales, at the right the cumulative share.

    The spectrum of a series ends where its sample becomes too small for the percentile. Raises ExtraMissing without
    matplotlib.
    """
    pyplot = canvas()
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(WIDTH, HEIGHT))
    colours = pyplot.get_cmap("tab20")
    most = max(len(values) for values in samples.values())
    for number, (name, values) in enumerate(largest(samples).items()):
        found = np.sort(np.asarray(values, float))
        colour = colours((2 * number) % 20 + (2 * number) // 20)
        reached = [level for level in LEVELS if enough_for(level, len(found))]
        fine = 100 * (1 - np.geomspace(0.5, 1 - reached[-1] / 100, 60))
        left.plot(1 / (1 - fine / 100), np.percentile(found, fine), color=colour, label=name)
        right.plot(found, np.arange(1, len(found) + 1) / len(found), color=colour)
    left.set(xscale="log", yscale="log", xlabel="percentile", ylabel=unit, title="latency spectrum")
    reached = [level for level in LEVELS if enough_for(level, most)]
    left.set_xticks([1 / (1 - level / 100) for level in reached], [f"{level:g}" for level in reached])
    left.minorticks_off()
    right.set(xscale="log", xlabel=unit, ylabel="share of the measurements", title="cumulative share")
    for axis in (left.yaxis, right.xaxis):
        axis.set_major_formatter("{x:g}")
    for panel in (left, right):
        panel.grid(True, alpha=0.25)
    figure.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8)
    figure.tight_layout()
    return as_png(pyplot, figure)


def largest(samples: Mapping[str, Sequence[float]]) -> dict[str, Sequence[float]]:
    """Return at most MOST_SERIES series that hold something, the largest medians first."""
    held = {name: values for name, values in samples.items() if len(values) and max(values) > 0}
    names = sorted(held, key=lambda name: -float(np.median(held[name])))[:MOST_SERIES]
    return {name: held[name] for name in names}


def canvas() -> Any:
    """Return matplotlib's pyplot, drawing into files only; raises ExtraMissing."""
    try:
        import matplotlib
    except ModuleNotFoundError as error:
        raise ExtraMissing("plots need matplotlib.", hint="Run: pip install 'sightline[bench]'") from error
    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def as_png(pyplot: Any, figure: Any) -> bytes:
    """Return the figure as a PNG, and close it."""
    written = io.BytesIO()
    figure.savefig(written, format="png", dpi=110, bbox_inches="tight")
    pyplot.close(figure)
    return written.getvalue()
