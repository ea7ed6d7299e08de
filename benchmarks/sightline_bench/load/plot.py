"""One picture: latency against the offered rate, and what happened at twice the knee."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sightline_bench.load.outcome import Outcome
from sightline_bench.load.report import NAMES
from sightline_bench.load.sample import GOAL_MS
from sightline_bench.load.session import PLAIN, SERVICE
from sightline_cloud.pressure import Level
from sightline_shared.errors import ExtraMissing

COLOURS = {SERVICE: "C0", PLAIN: "C1"}
BANDS = {
    Outcome.GOOD: "#4c9f70",
    Outcome.PARTIAL: "#c9d15b",
    Outcome.LATE: "#e9a23b",
    Outcome.SHED: "#9aa5b1",
    Outcome.ERROR: "#8b2f8f",
    Outcome.GONE: "#c0392b",
}


def plot(result: dict[str, Any], path: Path) -> None:
    """Write a PNG; raises ExtraMissing without matplotlib."""
    try:
        import matplotlib
    except ModuleNotFoundError as error:
        raise ExtraMissing("the plot needs matplotlib.", hint="Run: pip install matplotlib") from error
    matplotlib.use("Agg")
    from matplotlib import pyplot

    heights = {"height_ratios": (5, 5, 1)}
    figure, grid = pyplot.subplots(3, 2, figsize=(15, 11), gridspec_kw=heights)
    _latencies(grid[0, 0], result)
    _goodput(grid[0, 1], result)
    for panel, below, name in zip(grid[1], grid[2], result["overload"], strict=True):
        _timeline(panel, name, result["overload"][name])
        _levels(below, result["overload"][name], panel)
    figure.suptitle(
        f"{result['scenario']['data']['n']:,} items, {result['bundle']['label']}; {result['machine']['cpu'].partition(' (')[0]}, "
        f"{result['machine']['cores']} cores; open loop, times from when a request was due"
    )
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    pyplot.close(figure)


def _latencies(panel: Any, result: dict[str, Any]) -> None:
    for name, rows in result["tables"].items():
        for level, style in (("p50", ":"), ("p95", "--"), ("p99", "-")):
            found = [(row["rate"], row["ms"][level]) for row in rows if level in row["ms"]]
            if found:
                panel.plot(
                    *zip(*found, strict=True),
                    style,
                    color=COLOURS[name],
                    marker="o",
                    ms=3.5,
                    label=f"{NAMES[name]}, {level}",
                )
        if result["knee_per_s"][name]:
            panel.axvline(result["knee_per_s"][name], color=COLOURS[name], lw=0.8, alpha=0.6)
    panel.axhline(GOAL_MS, color="grey", lw=0.8, ls=":")
    panel.axhline(result["scenario"]["plan"]["deadline_ms"], color="black", lw=0.8, ls=":")
    panel.set_yscale("log")
    panel.set(
        xlabel="offered, requests a second",
        ylabel="ms",
        title=f"latency of answers (lines at {GOAL_MS:.0f} ms and the deadline; upright: the knees)",
    )
    panel.grid(True, which="both", alpha=0.2)
    panel.legend(fontsize=8)


def _goodput(panel: Any, result: dict[str, Any]) -> None:
    for name, rows in result["tables"].items():
        points = [(row["rate"], row["goodput_per_s"]) for row in rows]
        during = result["overload"][name]["during"]
        panel.plot(*zip(*points, strict=True), color=COLOURS[name], marker="o", ms=4, label=NAMES[name])
        panel.plot(
            result["overload"][name]["per_second"]["during"],
            during["goodput_per_s"],
            "*",
            color=COLOURS[name],
            ms=13,
            label=f"{NAMES[name]}, twice its knee",
        )
    most = max(row["rate"] for rows in result["tables"].values() for row in rows)
    panel.plot([0, most], [0, most], color="grey", lw=0.8, ls=":")
    panel.set(xlabel="offered, requests a second", ylabel="whole answers in time, a second", title="goodput")
    panel.grid(True, alpha=0.2)
    panel.legend(fontsize=8)


def _timeline(panel: Any, name: str, overload: dict[str, Any]) -> None:
    rows = overload["timeline"]
    begins = [row["begin_s"] for row in rows]
    width = begins[1] - begins[0]
    # Twice the last, for its bin has an end too.
    counts = [[row[kind.label] / width for row in [*rows, rows[-1]]] for kind in BANDS]
    panel.stackplot(
        [*begins, begins[-1] + width],
        counts,
        colors=list(BANDS.values()),
        labels=[kind.label for kind in BANDS],
        step="post",
        alpha=0.85,
    )
    panel.set(ylabel="requests a second, by what came of them", title=f"{NAMES[name]} at twice its knee")
    panel.legend(fontsize=8, loc="upper left")
    other = panel.twinx()
    medians = [(row["begin_s"] + width / 2, row["p50_ms"]) for row in rows if row["p50_ms"]]
    if medians:
        other.plot(*zip(*medians, strict=True), color="black", lw=1.2, label="median ms of answers")
    other.set_yscale("log")
    other.set_ylabel("ms")
    if overload["recovery_s"] is not None:
        fell = overload["seconds"]["before"] + overload["seconds"]["during"]
        panel.axvline(fell + overload["recovery_s"], color="black", lw=0.9, ls="--")
    other.legend(fontsize=8, loc="upper right")
    panel.set_ylim(0, 1.25 * max(map(sum, zip(*counts, strict=True))))  # room for the legends


def _levels(panel: Any, overload: dict[str, Any], above: Any) -> None:
    rows = overload["timeline"]
    panel.step([row["begin_s"] for row in rows], [row["degraded"] for row in rows], where="post", color="#8b2f8f")
    panel.set(xlabel="s", ylabel="level", ylim=(-0.4, int(max(Level)) + 0.4), xlim=above.get_xlim())
    panel.set_title("highest degrade level that an answer named", fontsize=9)
