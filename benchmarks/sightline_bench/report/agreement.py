"""Pictures of the model beside what was measured in real time: `bench network --what kernel` and `--what product`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sightline_bench.report.latency import as_png, canvas, plain_numbers

NEAR = 0.1
MARKERS = {"cold": "o", "warm": "s", "idle": "^"}

# Measured milliseconds, what the model says to that, and the situation, by network.
Points = Mapping[str, list[tuple[float, float, str]]]


def kernel_points(agreement: Mapping[str, Any]) -> Points:
    """Return the medians of every cell, the kernel's and the model's over it."""
    return {
        name: [
            (cell["kernel_p50_ms"]["value"], cell["model_to_kernel"], label.partition(" ")[0])
            for label, cell in network.get("cells", {}).items()
        ]
        for name, network in agreement.items()
    }


def product_points(product: Mapping[str, Any]) -> Points:
    """Return the medians to the final answer of every situation and strategy, the real ones and the model's over them."""
    return {name: list(_of_network(network)) for name, network in product.items()}


def _of_network(network: Mapping[str, Any]) -> Iterator[tuple[float, float, str]]:
    for situation, strategies in network.get("cells", {}).items():
        for cell in strategies.values():
            real, ratio = cell.get("final", {}).get("ms", {}).get("p50"), cell.get("model_to_real", {}).get("p50")
            if real and real["value"] and ratio:
                yield real["value"], ratio, situation


def ratios(points: Points) -> bytes:
    """Return a PNG: the model's milliseconds over the measured ones, against these; raises ExtraMissing without matplotlib."""
    pyplot = canvas()
    figure, panel = pyplot.subplots(figsize=(11, 4.6))
    colours = pyplot.get_cmap("tab10")
    for number, (network, every) in enumerate(points.items()):
        for situation in dict.fromkeys(kind for _, _, kind in every):
            found = [(ms, ratio) for ms, ratio, kind in every if kind == situation]
            marker = MARKERS.get(situation, "D")
            label = f"{network}, {situation}"
            panel.plot(*zip(*found, strict=True), marker, color=colours(number % 10), label=label, ms=5, alpha=0.8)
    panel.axhspan(1 - NEAR, 1 + NEAR, color="grey", alpha=0.12)
    panel.axhline(1, color="black", linewidth=0.8)
    panel.set(xscale="log", xlabel="measured ms, median", ylabel="the model's over it")
    plain_numbers(panel.xaxis)
    panel.grid(True, alpha=0.25)
    figure.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8)
    figure.tight_layout()
    return as_png(pyplot, figure)
