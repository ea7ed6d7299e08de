"""Pictures of a `bench network` result: milliseconds against bytes, where the time goes, two minutes of one network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

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
# Longer bars are cut off: on a scale that holds EDGE one would see nothing of the others.
SHOWN_MS = 1000.0
RECORDED = ", recorded"
# Crops take the device longer, racing is the code again.
BY_BYTES = ("code", "int8 vector", "float vector", "photo 40 KB", "photo 120 KB")


def pictures(result: Mapping[str, Any]) -> Iterator[tuple[bytes, str]]:
    """Yield PNGs with captions; raises ExtraMissing without matplotlib."""
    networks, titles = result["networks"], result["titles"]
    yield (
        _against_bytes(networks, titles),
        "Milliseconds to the final answer against bytes up, body only, on a warm connection; the line: 200 ms. Flat at the left: what fits "
        "one packet costs the same. Dashed: recorded traces.",
    )
    yield (
        _stacked(networks, titles),
        f"Where the time goes, means: the 64-byte code (upper bar) and a photograph of 40 KB (lower bar), by situation, up to {SHOWN_MS:g} "
        "ms; the number is the whole. The line: 200 ms.",
    )
    if result["timeline"]:
        yield (
            _timeline(result["timeline"]),
            f"{result['timeline']['network']}: each code's answer by when it was asked, and what the network could carry in each second: who "
            "asks in an outage waits for its end.",
        )


def samples_by_strategy(samples: Mapping[str, Sequence[float]]) -> dict[str, dict[str, Sequence[float]]]:
    """Return the raw milliseconds of a `bench network` result by way to ask, by network."""
    found: dict[str, dict[str, Sequence[float]]] = {}
    for name, values in samples.items():
        strategy = next((each for each in STACKED if name.endswith(f" {each} ms")), name)
        found.setdefault(f"{strategy}, warm, by network", {})[name.removesuffix(f" {strategy} ms")] = values
    return found


def _against_bytes(networks: Mapping[str, Any], titles: Mapping[str, str]) -> bytes:
    # Here, for whoever reports other results needs no emulator.
    from sightline_bench.netsim.strategies import STRATEGIES

    pyplot = canvas()
    figure, panels = pyplot.subplots(1, 2, figsize=(14, 6), sharey=True)
    colours = pyplot.get_cmap("tab20")
    # A recorded trace has the colour of the made one that is like it.
    order = {name: place for place, name in enumerate(name for name in networks if not name.endswith(RECORDED))}
    for panel, level in zip(panels, ("p50", "p95"), strict=True):
        for number, (network, row) in enumerate(networks.items()):
            cells = row.get(SITUATION, {})
            points = [
                (STRATEGIES[name].up_bytes, cells[name]["final"]["ms"][level]["value"])
                for name in BY_BYTES
                if cells.get(name, {}).get("final", {}).get("ms", {}).get(level, {}).get("value")
            ]
            if points:
                colour = colours(order.get(network.removesuffix(RECORDED), number) % 20)
                style = "--" if network.endswith(RECORDED) else "-"
                label = titles.get(network, network)
                panel.plot(*zip(*points, strict=True), style, marker="o", color=colour, label=label, markersize=4)
        panel.axhline(GOAL_MS, color="black", linewidth=0.8)
        panel.set(xscale="log", yscale="log", xlabel="bytes up", title=level)
        for axis in (panel.xaxis, panel.yaxis):
            axis.set_major_formatter("{x:g}")
        panel.grid(True, alpha=0.25)
    panels[0].set_ylabel("ms to the final answer")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8)
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
                _bar(panel, place + shift, row.get(situation, {}).get(name, {}).get("stages_ms", {}))
        panel.axvline(GOAL_MS, color="black", linewidth=0.8)
        panel.set(title=situation, xlabel="ms", xlim=(0, 1.13 * SHOWN_MS))
    panels[0][0].set_yticks(range(len(networks)), [titles.get(name, name) for name in networks], fontsize=8)
    panels[0][0].invert_yaxis()
    handles = [pyplot.Rectangle((0, 0), 1, 1, color=colour) for colour in COLOURS.values()]
    figure.legend(handles, COLOURS, loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8)
    figure.tight_layout()
    return as_png(pyplot, figure)


def _bar(panel: Any, place: float, stages_ms: Mapping[str, float]) -> None:
    """Draw the stages one after another as far as the panel goes, and the whole as a number."""
    left = 0.0
    for stage, ms in stages_ms.items():
        shown = min(ms, max(0.0, SHOWN_MS - left))
        panel.barh(place, shown, left=left, height=0.36, color=COLOURS[stage])
        left += shown
    if stages_ms:
        panel.text(left + 8, place, f"{sum(stages_ms.values()):,.0f}", va="center", fontsize=6.5)


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
    below.legend(fontsize=8, loc="upper left")
    for panel in (above, below):
        panel.grid(True, alpha=0.25)
    figure.tight_layout()
    return as_png(pyplot, figure)
