"""The figures of `sightline bench crops`, and their tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sightline_bench.crops.contenders import CONTENDERS
from sightline_bench.crops.measure import COUNTS, Asked, Table
from sightline_bench.quality.decision import expected_calibration_error
from sightline_export.evaluate import mean_figure, statistic_figure

ANSWERED = ("unsure", "found")
FIGURES: dict[str, Callable[[Asked], float]] = {
    "R@1": lambda one: float(one.labels[:1] != () and one.labels[0] in one.wanted),
    "R@5": lambda one: float(not one.wanted.isdisjoint(one.labels[:5])),
    "share of the things in the top 20": lambda one: len(one.wanted.intersection(one.labels)) / len(one.wanted),
    "answered": lambda one: float(one.outcome in ANSWERED),
    "restricted": lambda one: float(one.outcome == "restricted"),
}
STRANGERS: dict[str, Callable[[Asked], float]] = {
    "sent": lambda one: float(one.body_bytes > 0),
    "answered": FIGURES["answered"],
    "found": lambda one: float(one.outcome == "found"),
    "restricted": FIGURES["restricted"],
}


def figures(table: Table) -> dict[str, Any]:
    """Return kind -> way of looking -> figures with intervals, gains over one crop (paired), and costs."""
    report: dict[str, Any] = {}
    for kind, ways in table.items():
        wanted = FIGURES if next(iter(ways.values()))[0].wanted else STRANGERS
        alone = ways[str(COUNTS[0])]
        report[kind] = {
            way: {
                **{name: _mean(asked, of) for name, of in wanted.items()},
                **{f"gain in {name}": _gain(asked, alone, of) for name, of in wanted.items()},
                **_costs(asked, alone),
                **_calibration(asked),
            }
            for way, asked in ways.items()
        }
    return report


def _mean(asked: Sequence[Asked], of: Callable[[Asked], float]) -> dict[str, object]:
    return mean_figure(np.array([of(one) for one in asked])).to_dict()


def _gain(asked: Sequence[Asked], alone: Sequence[Asked], of: Callable[[Asked], float]) -> dict[str, object]:
    """Return the mean of the differences scene by scene."""
    return mean_figure(np.array([of(one) - of(base) for one, base in zip(asked, alone, strict=True)])).to_dict()


def _costs(asked: Sequence[Asked], alone: Sequence[Asked]) -> dict[str, float]:
    sent = [one.body_bytes for one in asked if one.body_bytes]
    added = [one.device_ms - base.device_ms for one, base in zip(asked, alone, strict=True)]
    return {
        "codes mean": round(float(np.mean([one.codes for one in asked])), 2),
        "body bytes median": float(np.median(sent)) if sent else 0.0,
        "body bytes max": float(max(sent, default=0)),
        "device ms median": round(float(np.median([one.device_ms for one in asked])), 2),
        "added ms median": round(float(np.median(added)), 2),
        "propose ms median": round(float(np.median([one.propose_ms for one in asked])), 2),
    }


def _calibration(asked: Sequence[Asked]) -> dict[str, Any]:
    """Return how far the probability holds, of what was sent; nothing for strangers, and where nothing was calibrated.

    Two of three questions have an answer, as where a half has and most of a quarter that are strangers are not sent; the
    others ask for the same with nothing of it in the catalogue.
    """
    there = [(one.probability, float(one.right), 2.0) for one in asked if one.wanted and one.probability is not None]
    lacking = [(one.near, 0.0, 1.0) for one in asked if one.near is not None]
    if not there or not lacking:
        return {}
    rows = np.array(there + lacking, np.float64)
    probability, right, weight = rows.T
    return {
        "calibration error": statistic_figure(rows, expected_calibration_error).to_dict(),
        "mean probability": round(float(np.average(probability, weights=weight)), 4),
        "share right": round(float(np.average(right, weights=weight)), 4),
        "found, right": _mean([one for one in asked if one.wanted and one.outcome == "found"], FIGURES["R@1"]),
    }


def as_text(result: dict[str, Any]) -> str:
    """Return the tables: what is found, what strangers come to, the contenders, what it costs."""
    counts = [str(count) for count in COUNTS]
    known = {kind: ways for kind, ways in result["kinds"].items() if "R@1" in ways[counts[0]]}
    strange = {kind: ways for kind, ways in result["kinds"].items() if kind not in known}
    lines = [
        result["scenario"]["source"],
        f"bundle {result['bundle']['label']}, {result['seconds']} s on {result['machine']['cpu']}, load "
        f"{result['machine']['load_1m']}; per cent with 95 % bootstrap intervals over scenes; gains are paired",
    ]
    for title, kinds, names in (("in the frame", known, tuple(FIGURES)), ("strangers", strange, tuple(STRANGERS))):
        shown = (*names[:1], f"gain in {names[0]}", *names[1:])
        lines += ["", f"| {title} | crops | n | {' | '.join(shown)} |", "|---|---|---|" + "---|" * len(shown)]
        for kind, ways in kinds.items():
            for count in counts:
                cells = " | ".join(percent(ways[count][name]) for name in shown)
                lines.append(f"| {kind} | {count} | {ways[count][names[0]]['n']} | {cells} |")
    lines += calibration_lines(known, counts)
    title = f"R@1 / R@5, {counts[-1]} crops of every frame"
    lines += ["", f"| {title} | {' | '.join(CONTENDERS)} |", "|---|" + "---|" * len(CONTENDERS)]
    for kind, ways in known.items():
        cells = " | ".join(f"{percent(ways[name]['R@1'])} / {percent(ways[name]['R@5'])}" for name in CONTENDERS)
        lines.append(f"| {kind} | {cells} |")
    costs = (
        "codes mean",
        "body bytes median",
        "body bytes max",
        "device ms median",
        "added ms median",
        "propose ms median",
    )
    lines += ["", f"| cost | crops | {' | '.join(costs)} |", "|---|---|" + "---|" * len(costs)]
    for kind, ways in result["kinds"].items():
        for count in counts:
            lines.append(f"| {kind} | {count} | {' | '.join(f'{ways[count][name]:g}' for name in costs)} |")
    return "\n".join(lines)


def calibration_lines(kinds: dict[str, Any], counts: Sequence[str]) -> list[str]:
    """Return the table of how far the service's probability holds; no lines where none was calibrated."""
    rows = [
        f"| {kind} | {count} | {row['calibration error']['n']} | {percent(row['calibration error'])} | "
        f"{100 * row['mean probability']:.1f} | {100 * row['share right']:.1f} | {percent(row['found, right']) if row['found, right']['n'] else '-'} |"
        for kind, ways in kinds.items()
        for count in counts
        if "calibration error" in (row := ways[count])
    ]
    head = "| probability, a third unanswerable | crops | n | error | mean | right | found: right |"
    return ["", head, "|---|---|---|---|---|---|---|", *rows] if rows else []


def percent(entry: dict[str, Any]) -> str:
    if not entry["n"]:
        return "-"
    low, high = entry["interval"]
    return f"{100 * entry['value']:.1f} [{100 * low:.1f}, {100 * high:.1f}]"
