"""The table of a comparison: what was measured over each network, the model beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sightline_bench.netsim.figures import GOAL_MS

WITHIN = 0.1
# Printed only where enough queries were asked for them.
LEVELS = ("p50", "p90", "p95")


def as_markdown(result: Mapping[str, Any]) -> str:
    """Return a `bench network --what product` result as people read it."""
    lines = [f"**{result['about']}**", ""] if result["about"] else []
    lines += [
        "The real client asks the real service; milliseconds from when an answer was wanted, p50 with its 95 % interval / p90 / p95, as far",
        f"as there were enough queries; the model's medians, and model to measured at each level (bold: off by more than {WITHIN:.0%}; *: what the",
        "service takes with no network moved meanwhile, so this ratio says little).",
        "",
        f"| network | situation | asked by | final answer | missed {GOAL_MS:g} ms | first | model | model to it | bytes up |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, network in result["product"].items():
        title = result["titles"].get(name, name)
        if network["refused"]:
            lines.append(f"| {title} | refused: {network['late_p99_ms']} ms late at p99 | | | | | | | |")
        for situation, row in network.get("cells", {}).items():
            lines += [f"| {title} | {situation} | {way} | {_cell(cell)} |" for way, cell in row.items()]
    return "\n".join(lines)


def _cell(cell: Mapping[str, Any]) -> str:
    final, first, model = cell["final"]["ms"], cell["first"]["ms"]["p50"], cell["model"]["final"]["ms"]["p50"]
    sooner = _ms(first["value"]) if first["value"] != final["p50"]["value"] else ""
    missed = f"{100 * cell['final']['miss_200_ms']['value']:.0f} %"
    ratios = " / ".join(_ratio(cell["model_to_real"][level]) for level in LEVELS if level in cell["model_to_real"])
    ratios += " *" if cell.get("own_ms", {}).get("moved") else ""
    up = f"{cell['bytes']['up']:,.0f}" if cell["bytes"]["up"] is not None else ""
    return " | ".join((_levels(final), missed, sooner, _ms(model["value"]), ratios, up))


def _levels(estimates: Mapping[str, Any]) -> str:
    bounds = estimates["p50"]["interval"]
    interval = f" [{bounds[0]:.0f}, {bounds[1]:.0f}]" if bounds else ""
    middle, *late = (_ms(estimates[level]["value"]) for level in LEVELS if level in estimates)
    return " / ".join((middle + interval, *late))


def _ms(value: float | None) -> str:
    return "never" if value is None else f"{value:.0f}"


def _ratio(ratio: float) -> str:
    return f"{ratio:.3f}" if abs(ratio - 1) <= WITHIN else f"**{ratio:.3f}**"
