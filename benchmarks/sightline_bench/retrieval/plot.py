"""Recall against CPU time, a panel a data set."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sightline_bench.retrieval.figures import ENOUGH_RECALL
from sightline_shared.errors import ExtraMissing

WIDTH, HEIGHT = 7.4, 4.8
COLUMNS = 3
MARKERS = "osD^v<>PX*hdp8"
SHARES = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 0.9999)

Looks = Mapping[str, tuple[Any, str]]
# A contender and one of its points.
Cost = Callable[[Mapping[str, Any], Mapping[str, Any]], float | None]


def plot(results: Sequence[dict[str, Any]], path: Path) -> None:
    """Write a PNG; up and left is better. Raises ExtraMissing without matplotlib."""
    try:
        import matplotlib
    except ModuleNotFoundError as error:
        raise ExtraMissing("the plot needs matplotlib.", hint="Run: pip install matplotlib") from error
    matplotlib.use("Agg")
    from matplotlib import pyplot

    looks = looks_of(results, pyplot)
    columns = min(COLUMNS, len(results))
    lines = -(-len(results) // columns)
    figure, grid = pyplot.subplots(lines, columns, figsize=(WIDTH * columns, HEIGHT * lines), squeeze=False)
    for panel in grid.flat[len(results) :]:
        panel.set_axis_off()
    for panel, result in zip(grid.flat, results, strict=False):
        draw(panel, result, looks, lambda one, at: at["cpu_ms"]["p50"])
        panel.set(xlabel="CPU ms a query, median", ylabel="recall@10", title=_title(result))
        panel.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.01, 1))
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def looks_of(results: Sequence[Mapping[str, Any]], pyplot: Any) -> Looks:
    """Return colour and marker of every contender; our own get the strong colours, which come first."""
    names = sorted({name for each in results for name in each["contenders"]}, key=lambda name: (not _own(name), name))
    colours = pyplot.get_cmap("tab20")
    order = [*range(0, 20, 2), *range(1, 20, 2)]
    return {name: (colours(order[place % 20]), MARKERS[place % len(MARKERS)]) for place, name in enumerate(names)}


def draw(panel: Any, result: Mapping[str, Any], looks: Looks, cost: Cost) -> None:
    """Draw every contender's recall against what each of its points costs; a point whose cost is None is left out."""
    from matplotlib.ticker import FixedLocator, LogLocator, NullLocator, StrMethodFormatter

    for name, one in result["contenders"].items():
        colour, marker = looks[name]
        found = [(cost(one, at), min(SHARES[-1], at["recall"]["value"])) for at in one["points"]]
        shown = [pair for pair in found if pair[0] is not None]
        width = 2.4 if _own(name) else 1.2
        if shown:
            panel.plot(*zip(*shown, strict=True), color=colour, marker=marker, label=name, lw=width, ms=5)
    panel.axhline(ENOUGH_RECALL, color="grey", lw=0.8, ls=":")
    panel.set_xscale("log")
    # What is near 1 is told apart.
    panel.set_yscale("logit")
    # The scale does not find its ends by itself.
    recalls = [at["recall"]["value"] for one in result["contenders"].values() for at in one["points"]]
    panel.set_ylim(
        0.9 * max(min(recalls), 0.01), next(share for share in SHARES if share >= min(max(recalls), SHARES[-1]))
    )
    low, high = panel.get_xlim()
    subs = (1, 2, 5) if high > 10 * low else (1, 1.5, 2, 3, 5, 7)
    for axis, ticks in ((panel.xaxis, LogLocator(subs=subs)), (panel.yaxis, FixedLocator(SHARES))):
        axis.set_major_locator(ticks)
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.set_minor_formatter(StrMethodFormatter(""))
    panel.grid(True, alpha=0.25)


def _own(name: str) -> bool:
    return name.startswith("sightline")


def _title(result: dict[str, Any]) -> str:
    data = result["scenario"]["data"]
    return f"{data['n']:,} vectors, {data['source_kind']}"
