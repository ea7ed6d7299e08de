"""A result as a section of the page: what it is, its pictures, its estimates."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sightline_bench.load.plot import plot as load_plot
from sightline_bench.report.latency import largest, plots
from sightline_bench.report.network import pictures as network_pictures
from sightline_bench.results import Result, estimates
from sightline_bench.retrieval.plot import plot as retrieval_plot

# What a series' name ends with, and the unit that it then has.
UNITS = {"ms": "ms", "us": "µs"}


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
    """One result, ready to be shown."""

    title: str
    scenario: Mapping[str, Any]
    ran: str
    pictures: Sequence[Picture]
    rows: Sequence[Row]


def section(name: str, result: Result) -> Section:
    """Return the section of the result that the file `name` holds."""
    machine, bundle = result["machine"], result.get("bundle") or {}
    ran = (
        f"{machine['time']}, {machine['git']}, {bundle.get('label', 'no bundle')}; {machine['cpu']}, {machine['cores']} cores; "
        f"load {machine['load_1m']} before, {result.get('load_after')} after"
    )
    rows = [_row(path, figure) for path, figure in estimates(result)]
    return Section(f"{result['benchmark']}: {name}", result["scenario"], ran, list(_pictures(result)), rows)


def _pictures(result: Result) -> Iterator[Picture]:
    if result["benchmark"] == "retrieval":
        yield Picture(
            _drawn(lambda path: retrieval_plot([result], path)), "Recall against CPU time: up and left is better."
        )
    if result["benchmark"] == "load":
        yield Picture(
            _drawn(lambda path: load_plot(result, path)),
            "Latency against the offered rate, and what became of twice the knee.",
        )
    if result["benchmark"] == "network":
        yield from (Picture(_as_url(png), caption) for png, caption in network_pictures(result))
    for unit, samples in _by_unit(result["samples"]).items():
        shown = len(largest(samples))
        rest = f" The {shown} slowest of {len(samples)} series." if shown < len(samples) else ""
        yield Picture(_as_url(plots(samples, unit)), f"Every raw measurement.{rest}")


def _by_unit(samples: Mapping[str, Sequence[float]]) -> dict[str, dict[str, Sequence[float]]]:
    found: dict[str, dict[str, Sequence[float]]] = {}
    for name, values in samples.items():
        unit = next((unit for ending, unit in UNITS.items() if name.endswith(ending)), None)
        if unit and len(values) and max(values) > 0:
            found.setdefault(unit, {})[name] = values
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
