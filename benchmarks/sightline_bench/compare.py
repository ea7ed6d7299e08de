"""Two results of one benchmark beside each other: ratios of what was timed, differences of what was estimated."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sightline_bench.results import Result, as_floats, estimates
from sightline_bench.stats import enough_for, order_statistics, ratio_intervals, ratios
from sightline_shared.errors import InputError

LEVELS = (50.0, 95.0, 99.0)
# What makes two machines the same for timings.
MACHINE = ("system", "cpu", "cores")
NEVER = "never"


@dataclass(frozen=True)
class Compared:
    """One number of both results; infinite is what never came.

    `change` is B's share of A's (`kind` "ratio", 1 where both are infinite) or what B has more ("difference", 0 then);
    `interval` is None where a result does not hold it.
    """

    name: str
    kind: str
    a: float
    b: float
    change: float
    interval: tuple[float, float] | None
    n: tuple[int, int]

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves no change out."""
        none = 1.0 if self.kind == "ratio" else 0.0
        return self.interval is not None and not self.interval[0] <= none <= self.interval[1]

    @property
    def is_outage(self) -> bool:
        """Whether it came in one of the two alone, whatever the interval knows of it."""
        return math.isinf(self.a) != math.isinf(self.b)


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
        n = str(row.n[0]) if row.n[0] == row.n[1] else f"{row.n[0]}, {row.n[1]}"
        change = f"**{_change(row)}**" if row.is_clear or row.is_outage else _change(row)
        lines.append(f"| {row.name} | {_number(row.a)} | {_number(row.b)} | {change} | {n} |")
    known = sum(row.interval is not None for row in rows)
    clear = sum(row.is_clear for row in rows)
    lines += [
        "",
        f"Bold: the 95 % interval leaves 'no change' out ({clear} of {known}; by chance alone about {max(1, round(known / 20))}), or "
        f"one of the two never came ({sum(row.is_outage for row in rows)}). Ratios of raw timings: block bootstrap, what never came "
        "is the longest. Differences of estimates: the two intervals added in quadrature, as if nothing was common to both runs.",
    ]
    return "\n".join(lines)


def _change(row: Compared) -> str:
    if math.isinf(row.a) or math.isinf(row.b):
        return f"{_number(row.a)} -> {_number(row.b)}"
    sign = "" if row.kind == "ratio" else "+"
    if row.interval is None:
        return f"{row.change:{sign}.3g}, no interval"
    low, high = (f"{bound:{sign}.3g}" if math.isfinite(bound) else NEVER for bound in row.interval)
    return f"{row.change:{sign}.3g} [{low}, {high}]"


def _number(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else NEVER


def _ratios(a: Result, b: Result) -> Iterator[Compared]:
    for name in [name for name in a["samples"] if name in b["samples"]]:
        ours, theirs = (as_floats(each["samples"][name]) for each in (a, b))
        n = len(ours), len(theirs)
        levels = [level for level in LEVELS if min(n) and enough_for(level, min(n))]
        if not levels:
            continue
        before, after = order_statistics(ours, levels), order_statistics(theirs, levels)
        changes, intervals = ratios(after, before), ratio_intervals(theirs, ours, levels)
        rows = zip(levels, *(each.tolist() for each in (before, after, changes)), intervals, strict=True)
        for level, old, new, change, interval in rows:
            if old > 0 or math.isinf(new):
                yield Compared(f"{name} p{level:g}", "ratio", old, new, change, interval, n)


def _differences(a: Result, b: Result) -> Iterator[Compared]:
    others = dict(estimates(b))
    for name, ours in estimates(a):
        theirs = others.get(name)
        if theirs is None or not (ours["n"] and theirs["n"]):  # of nothing nobody knows anything
            continue
        before, after = (math.inf if each["value"] is None else float(each["value"]) for each in (ours, theirs))
        change = 0.0 if before == after else after - before
        interval = _spread(ours, theirs) if math.isfinite(change) else None
        yield Compared(name, "difference", before, after, change, interval, (ours["n"], theirs["n"]))


def _spread(ours: dict[str, Any], theirs: dict[str, Any]) -> tuple[float, float] | None:
    """Return the interval of the difference of two estimates; None where one has none."""
    if None in (ours["interval"], theirs["interval"], ours["value"], theirs["value"]):
        return None
    before, after = float(ours["value"]), float(theirs["value"])
    less = math.hypot(after - theirs["interval"][0], ours["interval"][1] - before)
    more = math.hypot(theirs["interval"][1] - after, before - ours["interval"][0])
    return after - before - less, after - before + more


def _both(a: dict[str, Any], b: dict[str, Any], name: str) -> tuple[Any, Any]:
    return a.get(name), b.get(name)


def _run(result: Result) -> str:
    machine, bundle = result["machine"], result.get("bundle") or {}
    return (
        f"{result['benchmark']}, {machine['time']}, {machine['git']}, {bundle.get('label', 'no bundle')}, {machine['cpu']}, "
        f"load {machine['load_1m']} before and {result.get('load_after', '?')} after"
    )
