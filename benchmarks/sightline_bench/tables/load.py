"""Tables of `results/load*.json`: what one core holds, what an answer costs, what becomes of twice the knee."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sightline_bench.load.report import NAMES
from sightline_bench.load.session import SERVICE
from sightline_bench.tables.cells import TOO_FEW, levels, plain, table
from sightline_bench.tables.shelf import Shelf

NAME = "load"
BATCHES = ("load-batches-100k", "load-batches-1m")


def knee(shelf: Shelf) -> str:
    """Return what the service and the plain handler hold, and what an answer costs there."""
    found = shelf[NAME]
    rows = [[name, *_at_knee(found, key)] for key, name in NAMES.items()]
    head = [
        "one core",
        "holds a second",
        "p50 / p99 ms there",
        "the next rate measured, p99 ms",
        "CPU ms an answer",
        "bytes up / down, heads included",
    ]
    ratios = next((row for row in found["ratios"] if row["rate"] == found["knee_per_s"][SERVICE]), None)
    return _with_source(shelf, table(head, rows), _times(ratios, found["bare_index"]) if ratios else "")


def overload(shelf: Shelf) -> str:
    """Return what becomes of twice the knee, and how soon it is over."""
    rows = []
    for key, name in NAMES.items():
        each = shelf[NAME]["overload"][key]
        during, shares = each["during"], each["during"]["shares"]
        rows.append(
            [name, f"{each['per_second']['during']:.0f}", f"{during['goodput_per_s']:.0f}"]
            + [f"{100 * shares[kind]:.1f}" for kind in ("good", "shed", "late", "gone")]
            + [_seconds(each["recovery_s"]), _seconds(each["undegraded_after_s"])]
        )
    seconds = shelf[NAME]["overload"][SERVICE]["seconds"]["during"]
    head = [
        f"for {seconds:g} s",
        "offered a second",
        "answered whole and in time a second",
        "per cent whole and in time",
        "refused",
        "late",
        "given up",
    ]
    head += ["holds again after s", "not degraded after s"]
    return _with_source(shelf, table(head, rows))


def batches(shelf: Shelf) -> str:
    """Return what several queries in one call of the index save, and what they would wait for each other."""
    rows = []
    for name in BATCHES:
        found = shelf[name]
        for size, row in found["cpu_us"]["search"].items():
            decode = found["cpu_us"]["decode"][size]
            cells = [f"{row['us']:.0f}", plain(row["ratio"], 2), f"{decode['us']:.1f}", f"{found['waits_ms'][size]:g}"]
            rows.append([f"{found['scenario']['data']['n']:,}", size, *cells])
    head = [
        "items",
        "queries a call",
        "search, CPU us a query",
        "against one alone",
        "decode, CPU us",
        "mean wait at 200 a second, ms",
    ]
    return f"{table(head, rows)}\n\n{shelf.source(*BATCHES)}"


def _times(ratios: Mapping[str, Any], bare: Mapping[str, Any]) -> str:
    pairs = (ratios["over_plain"]["server_cpu_ms"], ratios["server_cpu_over_bare_index"][SERVICE])
    over_plain, over_bare = (plain(figure, 1) if figure else TOO_FEW for figure in pairs)
    return (
        f"CPU of an answer at the service's knee, times the plain handler's: {over_plain}; times the bare index call's "
        f"{bare['cpu_ms']['p50']:.2f} ms: {over_bare}."
    )


def _at_knee(found: Mapping[str, Any], key: str) -> list[str]:
    rates = sorted(found["tables"][key], key=lambda row: row["rate"])
    rate = found["knee_per_s"][key]
    if rate is None:
        return ["none", "", _late(rates[0])]
    row = next(each for each in rates if each["rate"] == rate)
    above = next((each for each in rates if each["rate"] > rate), None)
    sent = f"{found['request_bytes'][key]:.0f} / {row['answer_bytes']:.0f}"
    after = _late(above) if above else "none"
    return [f"{rate:,.0f}", levels(row["ms"], ("p50", "p99"), 1), after, f"{row['server_cpu_ms']:.2f}", sent]


def _late(row: Mapping[str, Any]) -> str:
    return f"{row['rate']:,.0f}: {levels(row['ms'], ('p99',), 1)}"


def _seconds(value: float | None) -> str:
    return "not within the run" if value is None else f"{value:.1f}"


def _with_source(shelf: Shelf, text: str, about: str = "") -> str:
    return f"{text}\n\n{shelf.source(NAME, about=about)}"
