"""Pictures of a `bench network` result: milliseconds against bytes, where the time goes, two minutes of one network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from sightline_bench.report.latency import as_png, canvas

SITUATION = "warm"
STACKED = ("code", "photo 40 KB")
COLOURS = {
    "device": "#4c9f70",
    "wake": "#8b2f8f",
    "connect": "#34495e",
    "tls": "#7f8c8d",
    "uplink": "#e9a23b",
    "queue": "#c0392b",
    "server": "#2e86c1",
    "downlink": "#85c1e9",
    "after": "#a9dfbf",
}
GOAL_MS = 200.0


def pictures(result: Mapping[str, Any]) -> Iterator[tuple[bytes, str]]:
    """Yield PNGs with captions; raises ExtraMissing without matplotlib."""
    networks, titles = result["networks"], result["titles"]
    yield (
        _against_bytes(networks, titles),
        "Milliseconds to the final answer against bytes up, body only, on a warm connection: median, and p95 dashed. The line: 200 ms.",
    )
    yield (
        _stacked(networks, titles),
        "Where the time goes, means: the 64-byte code (upper bar) and a photograph of 40 KB (lower bar), by situation.",
    )
    if result["timeline"]:
        yield (
            _timeline(result["timeline"]),
            f"{result['timeline']['network']}: each code's answer by when it was asked, and what the network could carry in each second.",
        )


def _against_bytes(networks: Mapping[str, Any], titles: Mapping[str, str]) -> bytes:
    # Here, for whoever reports other results needs no emulator.
    from sightline_bench.netsim.strategies import STRATEGIES

    pyplot = canvas()
    figure, panel = pyplot.subplots(figsize=(11, 6))
    colours = pyplot.get_cmap("tab20")
    for number, (network, row) in enumerate(networks.items()):
        cells = [
            (STRATEGIES[name].up_bytes, cell["final"]["ms"], name)
            for name, cell in row.get(SITUATION, {}).items()
            # Crops take the device longer, racing is the code again.
            if name in ("code", "int8 vector", "float vector", "photo 40 KB", "photo 120 KB")
        ]
        cells.sort(key=lambda cell: cell[0] or 0)
        for level, style in (("p50", "-o"), ("p95", "--")):
            points = [(size, ms[level]["value"]) for size, ms, _ in cells if ms.get(level, {}).get("value")]
            if points:
                label = titles.get(network, network) if level == "p50" else None
                panel.plot(*zip(*points, strict=True), style, color=colours(number % 20), label=label, markersize=4)
    panel.axhline(GOAL_MS, color="black", linewidth=0.8)
    panel.set(xscale="log", yscale="log", xlabel="bytes up", ylabel="ms to the final answer")
    for axis in (panel.xaxis, panel.yaxis):
        axis.set_major_formatter("{x:g}")
    panel.grid(True, alpha=0.25)
    figure.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8)
    figure.tight_layout()
    return as_png(pyplot, figure)


def _stacked(networks: Mapping[str, Any], titles: Mapping[str, str]) -> bytes:
    pyplot = canvas()
    situations = list(dict.fromkeys(situation for row in networks.values() for situation in row))
    height = 0.5 * len(networks) + 1.6
    figure, panels = pyplot.subplots(
        1, len(situations), figsize=(5.2 * len(situations), height), sharey=True, squeeze=False
    )
    for panel, situation in zip(panels[0], situations, strict=True):
        for place, row in enumerate(networks.values()):
            for shift, name in zip((-0.2, 0.2), STACKED, strict=True):
                left = 0.0
                for stage, ms in row.get(situation, {}).get(name, {}).get("stages_ms", {}).items():
                    panel.barh(place + shift, ms, left=left, height=0.36, color=COLOURS[stage])
                    left += ms
        panel.axvline(GOAL_MS, color="black", linewidth=0.8)
        panel.set(title=situation, xlabel="ms (a square-root scale)")
        panel.set_xscale("function", functions=(_root, np.square))
        panel.set_xlim(left=0)
        panel.locator_params(axis="x", nbins=5)
    panels[0][0].set_yticks(range(len(networks)), [titles.get(name, name) for name in networks], fontsize=8)
    panels[0][0].invert_yaxis()
    handles = [pyplot.Rectangle((0, 0), 1, 1, color=colour) for colour in COLOURS.values()]
    figure.legend(handles, COLOURS, loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8)
    figure.tight_layout()
    return as_png(pyplot, figure)


def _root(values: Any) -> Any:
    # Matplotlib asks about places left of zero as well.
    return np.sqrt(np.maximum(values, 0))


def _timeline(found: Mapping[str, Any]) -> bytes:
    pyplot = canvas()
    figure, (above, below) = pyplot.subplots(2, 1, figsize=(11, 5.5), sharex=True, height_ratios=(3, 2))
    pairs = [(at, ms) for at, ms in zip(found["asked_s"], found["answer_ms"], strict=True) if ms is not None]
    above.vlines([at for at, _ in pairs], 1, [ms for _, ms in pairs], color="C0", linewidth=0.8)
    above.plot([at for at, _ in pairs], [ms for _, ms in pairs], "o", color="C0", markersize=3)
    never = [at for at, ms in zip(found["asked_s"], found["answer_ms"], strict=True) if ms is None]
    above.plot(never, [GOAL_MS] * len(never), "x", color="C3")
    above.axhline(GOAL_MS, color="black", linewidth=0.8)
    above.set(yscale="log", ylabel="ms to the answer")
    above.set_ylim(bottom=10)
    above.yaxis.set_major_formatter("{x:g}")
    for direction, style in (("down", "-"), ("up", "--")):
        mbit = found["capacity_mbit"][direction]
        below.step(range(len(mbit)), mbit, style, where="post", label=direction, linewidth=1)
    below.set(xlabel="seconds of the trace", ylabel="Mbit/s that could pass")
    below.set_ylim(bottom=0)
    below.set_xlim(0, len(found["capacity_mbit"]["down"]))
    below.legend(fontsize=8)
    for panel in (above, below):
        panel.grid(True, alpha=0.25)
    figure.tight_layout()
    return as_png(pyplot, figure)
