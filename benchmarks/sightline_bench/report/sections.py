"""A result as a section of the page: what it is, its pictures, what its command prints, its estimates."""

from __future__ import annotations

import base64
import math
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from sightline_bench.load.plot import plot as load_plot
from sightline_bench.report.agreement import kernel_points, product_points, ratios
from sightline_bench.report.latency import largest, plots, reaches_far
from sightline_bench.report.network import pictures as network_pictures
from sightline_bench.report.network import samples_by_strategy
from sightline_bench.report.prints import command_of, printed
from sightline_bench.report.retrieval import against_costs
from sightline_bench.results import Result, estimates

# What a series' name ends with, and the unit that it then has.
UNITS = {"ms": "ms", "us": "µs"}
# A table of more estimates is one that nobody reads: they are in the file.
MOST_ROWS = 2000
SPECTRUM = "Left: the time against the percentile, as far as the sample reaches; steep is a long tail. "
SHARE = "share of the measurements that took at most so long; steep is steady."
RATIOS = "The model's median over the measured one, a point a cell; grey: within 10 %."

Series = dict[str, Sequence[float]]


@dataclass(frozen=True)
class Picture:
    """A PNG as a data URL, and what to see in it."""

    url: str
    caption: str


@dataclass(frozen=True)
class Row:
    """One estimate: its path in the result, value, interval (empty without one) and sample size, as text."""

    name: str
    value: str
    interval: str
    n: int


@dataclass(frozen=True)
class Section:
    """One result, ready to be shown; `estimates` counts also those that are too many for `rows`."""

    title: str
    about: str
    command: str
    ran: str
    scenario: Mapping[str, Any]
    pictures: Sequence[Picture]
    printed: Markup | None
    rows: Sequence[Row]
    estimates: int


def section(name: str, result: Result) -> Section:
    """Return the section of the result that the file `name` holds."""
    machine, bundle, command = result["machine"], result.get("bundle") or {}, command_of(result)
    ran = (
        f"{machine['time']}, {machine['git']}, {bundle.get('label', 'no bundle')}; {machine['cpu']}, {machine['cores']} cores; "
        f"load {machine['load_1m']} before, {result.get('load_after')} after"
    )
    rows = [_row(path, figure) for path, figure in estimates(result)]
    return Section(
        title=name if name == result["benchmark"] else f"{result['benchmark']}: {name}",
        about=command.summary if command else "",
        command=result.get("command", ""),
        ran=ran,
        scenario=result["scenario"],
        pictures=list(_pictures(result)),
        printed=printed(result),
        rows=rows if len(rows) <= MOST_ROWS else [],
        estimates=len(rows),
    )


def _pictures(result: Result) -> Iterator[Picture]:
    if result["benchmark"] == "retrieval":
        yield Picture(
            _as_url(against_costs(result)),
            "Recall against CPU, against the tail of the time, and against RAM: up and left is better; dotted: the recall aimed at.",
        )
    if result["benchmark"] == "load":
        yield Picture(
            _drawn(lambda path: load_plot(result, path)),
            "Above: latency and whole answers in time by the offered rate; the knee is where p99 crosses 50 ms. Below: what became of "
            "twice the knee, and how soon after it (dashed) the service holds again.",
        )
    if result["benchmark"] == "network":
        yield from (Picture(_as_url(png), caption) for png, caption in network_pictures(result))
    points = kernel_points(result["agreement"]) if "agreement" in result else product_points(result.get("product", {}))
    if any(points.values()):
        yield Picture(_as_url(ratios(points)), RATIOS)
    else:
        yield from _spectra(result)


def _spectra(result: Result) -> Iterator[Picture]:
    by_unit = _by_unit(result["samples"])
    for unit, samples in by_unit.items():
        groups = (
            samples_by_strategy(samples) if result["benchmark"] == "network" else {"Every raw measurement": samples}
        )
        for title, series in groups.items():
            shown = len(largest(series))
            rest = f"; the {shown} slowest of {len(series)} series" if shown < len(series) else ""
            where = f"{SPECTRUM}Right: {SHARE}" if reaches_far(series) else f"{SHARE.capitalize()}"
            yield Picture(_as_url(plots(series, unit)), f"{title}{rest}. {where}")


def _by_unit(samples: Mapping[str, Sequence[float | None]]) -> dict[str, Series]:
    """Return the series that hold something by their unit; what was never answered, None, is infinite."""
    found: dict[str, Series] = {}
    for name, values in samples.items():
        unit = next((unit for ending, unit in UNITS.items() if name.endswith(ending)), None)
        ms = [math.inf if value is None else value for value in values]
        if unit and any(0 < each < math.inf for each in ms):
            found.setdefault(unit, {})[name] = ms
    return found


def _drawn(draw: Callable[[Path], None]) -> str:
    with tempfile.TemporaryDirectory(prefix="sightline-report-") as folder:
        path = Path(folder) / "plot.png"
        draw(path)
        return _as_url(path.read_bytes())


def _as_url(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _row(name: str, figure: Mapping[str, Any]) -> Row:
    bounds = figure["interval"]
    interval = "" if bounds is None else f"[{bounds[0]:.4g}, {bounds[1]:.4g}]"
    value = "" if figure["value"] is None else f"{figure['value']:.4g}"
    return Row(name, value, interval, figure["n"])
