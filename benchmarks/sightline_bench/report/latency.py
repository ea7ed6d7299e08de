"""Plots of raw samples: the latency spectrum, which shows the tail, and the cumulative share, which shows the bulk."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sightline_bench.stats import enough_for
from sightline_shared.errors import ExtraMissing

# In one picture; of more, those with the largest medians are shown, and the caption says so.
MOST_SERIES = 16
LEVELS = (50.0, 90.0, 95.0, 99.0, 99.9, 99.99)
WIDTH, HEIGHT = 13.0, 4.6


def plots(samples: Mapping[str, Sequence[float]], unit: str) -> bytes:
    """Return a PNG: at the left time against percentile, both on logarithmic scales, at the right the cumulative share.

    The spectrum of a series ends where its sample becomes too small for the percentile; where no sample is enough for more than
    the median there is none. Raises ExtraMissing without matplotlib.
    """
    pyplot = canvas()
    shown = {name: np.sort(np.asarray(values, float)) for name, values in largest(samples).items()}
    far = reaches_far(samples)
    figure, panels = pyplot.subplots(1, 2 if far else 1, figsize=(WIDTH if far else WIDTH * 0.6, HEIGHT), squeeze=False)
    colours = dict(zip(shown, _colours(pyplot), strict=False))
    if far:
        _spectrum(panels[0][0], shown, colours, unit)
    _shares(panels[0][-1], shown, colours, unit)
    figure.legend(*panels[0][-1].get_legend_handles_labels(), loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8)
    figure.tight_layout()
    return as_png(pyplot, figure)


def reaches_far(samples: Mapping[str, Sequence[float]]) -> bool:
    """Return whether a series is long enough for a percentile beyond the median."""
    return len(_levels(max(map(len, samples.values()), default=0))) > 1


def _spectrum(panel: Any, shown: Mapping[str, Any], colours: Mapping[str, Any], unit: str) -> None:
    for name, found in shown.items():
        fine = 100 * (1 - np.geomspace(0.5, 1 - _levels(len(found))[-1] / 100, 60))
        # Order statistics: what was never answered is infinite, and not drawn.
        panel.plot(1 / (1 - fine / 100), np.percentile(found, fine, method="inverted_cdf"), color=colours[name])
    levels = _levels(max(map(len, shown.values())))
    panel.set(xscale="log", yscale="log", xlabel="percentile", ylabel=unit, title="latency spectrum")
    panel.set_xticks([1 / (1 - level / 100) for level in levels], [f"{level:g}" for level in levels])
    panel.xaxis.minorticks_off()
    plain_numbers(panel.yaxis)
    panel.grid(True, alpha=0.25)


def _shares(panel: Any, shown: Mapping[str, Any], colours: Mapping[str, Any], unit: str) -> None:
    for name, found in shown.items():
        share = np.arange(1, len(found) + 1) / len(found)
        panel.plot(found, share, color=colours[name], label=name.removesuffix(" ms").removesuffix(","))
    panel.set(xscale="log", xlabel=unit, ylabel="share of the measurements", title="cumulative share")
    plain_numbers(panel.xaxis)
    panel.grid(True, alpha=0.25)


def plain_numbers(axis: Any) -> None:
    """Label 1, 2 and 5 of each decade in full: a range within one decade has ticks, too."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def _levels(n: int) -> list[float]:
    return [level for level in LEVELS if enough_for(level, n)]


def _colours(pyplot: Any) -> list[Any]:
    colours = pyplot.get_cmap("tab20")
    return [colours(place) for place in (*range(0, 20, 2), *range(1, 20, 2))]


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
