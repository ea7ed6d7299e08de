"""Two results of one benchmark beside each other: ratios of what was timed, differences of what was estimated."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from sightline_bench.results import Result, estimates
from sightline_bench.stats import enough_for, ratio_interval
from sightline_shared.errors import InputError

LEVELS = (50.0, 95.0, 99.0)
# What makes two machines the same for timings.
MACHINE = ("system", "cpu", "cores")


@dataclass(frozen=True)
class Compared:
    """One number of both results. `change` is B's share of A's (`kind` "ratio") or what B has more ("difference")."""

    name: str
    kind: str
    a: float
    b: float
    change: float
    interval: tuple[float, float]
    n: tuple[int, int]

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves no change out."""
        none = 1.0 if self.kind == "ratio" else 0.0
        return not self.interval[0] <= none <= self.interval[1]


def compare(a: Result, b: Result, *, across_machines: bool = False) -> list[Compared]:
    """Return what both results have; raises InputError when the runs are not alike, and names what differs."""
    differing = unlike(a, b, across_machines=across_machines)
    if differing:
        raise InputError(
            f"compare: expected two runs of one benchmark under the same scenario; they differ in {'; '.join(differing)}.",
            hint="Run both with the same options, on the same machine.",
        )
    return [*_ratios(a, b), *_differences(a, b)]


def unlike(a: Result, b: Result, *, across_machines: bool) -> list[str]:
    """Return in words what keeps two runs from being compared."""
    if a["benchmark"] != b["benchmark"]:
        return [f"benchmark: {a['benchmark']} against {b['benchmark']}"]
    pairs = {
        f"scenario {name}": _both(a["scenario"], b["scenario"], name) for name in {**a["scenario"], **b["scenario"]}
    }
    if not across_machines:
        pairs |= {f"machine {name}": _both(a["machine"], b["machine"], name) for name in MACHINE}
    return [f"{name}: {ours!r:.60} against {theirs!r:.60}" for name, (ours, theirs) in pairs.items() if ours != theirs]


def as_text(a: Result, b: Result, rows: list[Compared]) -> str:
    """Return the comparison as people read it."""
    lines = [f"A: {_run(a)}", f"B: {_run(b)}", ""]
    lines += ["| | A | B | B to A | n |", "|---|---|---|---|---|"]
    for row in rows:
        low, high = row.interval
        sign = "" if row.kind == "ratio" else "+"
        change = f"{row.change:{sign}.3g} [{low:{sign}.3g}, {high:{sign}.3g}]"
        n = str(row.n[0]) if row.n[0] == row.n[1] else f"{row.n[0]}, {row.n[1]}"
        lines.append(
            f"| {row.name} | {row.a:.4g} | {row.b:.4g} | {f'**{change}**' if row.is_clear else change} | {n} |"
        )
    clear = sum(row.is_clear for row in rows)
    lines += [
        "",
        f"Bold: the 95 % interval leaves 'no change' out ({clear} of {len(rows)}; by chance alone about {max(1, round(len(rows) / 20))}). "
        "Ratios of raw timings: block bootstrap. Differences of estimates: the two intervals added in quadrature, as if nothing was common to both runs.",
    ]
    return "\n".join(lines)


def _ratios(a: Result, b: Result) -> list[Compared]:
    rows = []
    for name in [name for name in a["samples"] if name in b["samples"]]:
        ours, theirs = (np.asarray(each["samples"][name], float) for each in (a, b))
        ours, theirs = ours[np.isfinite(ours)], theirs[np.isfinite(theirs)]
        for level in LEVELS:
            if not (len(ours) and len(theirs) and all(enough_for(level, len(each)) for each in (ours, theirs))):
                continue

            def percentile(values: Any, level: float = level) -> float:
                return float(np.percentile(values, level))

            before, after = percentile(ours), percentile(theirs)
            if before > 0:
                interval = ratio_interval(theirs, ours, percentile)
                n = len(ours), len(theirs)
                rows.append(Compared(f"{name} p{level:g}", "ratio", before, after, after / before, interval, n))
    return rows


def _differences(a: Result, b: Result) -> list[Compared]:
    others = dict(estimates(b))
    rows = []
    for name, ours in estimates(a):
        theirs = others.get(name)
        if theirs is None or None in (ours["interval"], theirs["interval"], ours["value"], theirs["value"]):
            continue
        before, after = float(ours["value"]), float(theirs["value"])
        less = math.hypot(after - theirs["interval"][0], ours["interval"][1] - before)
        more = math.hypot(theirs["interval"][1] - after, before - ours["interval"][0])
        change = after - before
        if math.isfinite(change):
            interval = change - less, change + more
            rows.append(Compared(name, "difference", before, after, change, interval, (ours["n"], theirs["n"])))
    return rows


def _both(a: dict[str, Any], b: dict[str, Any], name: str) -> tuple[Any, Any]:
    return a.get(name), b.get(name)


def _run(result: Result) -> str:
    machine, bundle = result["machine"], result.get("bundle") or {}
    return (
        f"{result['benchmark']}, {machine['time']}, {machine['git']}, {bundle.get('label', 'no bundle')}, {machine['cpu']}, "
        f"load {machine['load_1m']} before and {result.get('load_after', '?')} after"
    )
