"""The card's plots, as SVG text that stands in the page. The one module that imports matplotlib."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

Entry = Mapping[str, Any]

INK, SOFT, BLUE, ORANGE, TEAL, ROSE = "#1c2530", "#8b98a8", "#2f6fde", "#e07a1f", "#16907f", "#c2407e"
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "sightline",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6eaef",
    "grid.linewidth": 0.7,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
}


def loss_curve(steps: Sequence[Entry]) -> str:
    """Every loss over the training steps, on a logarithmic scale."""
    with _figure(5.2, 2.7) as (axes, finish):
        names = [name for name in steps[0] if name not in ("step", "total")]
        axes.plot(
            [entry["step"] for entry in steps], [entry["total"] for entry in steps], color=INK, lw=2, label="total"
        )
        for name, colour in zip(names, (BLUE, ORANGE, TEAL, ROSE, "#7a5fd0", "#a08a2a"), strict=False):
            values = [entry.get(name) or np.nan for entry in steps]
            axes.plot([entry["step"] for entry in steps], values, color=colour, lw=1.4, label=name)
        axes.set_yscale("log")
        axes.set_xlabel("step")
        axes.set_ylabel("loss")
        axes.legend(ncols=3, fontsize=8)
        return finish()


def spectrum(shares: Sequence[float]) -> str:
    """The eigenvalues of the gallery's covariance, each and added up."""
    with _figure(5.2, 2.7) as (axes, finish):
        ranks = np.arange(1, len(shares) + 1)
        # A collapsed student has directions without any variance, which no logarithm shows.
        axes.plot(ranks, np.maximum(shares, 1e-6), color=BLUE, lw=1.8)
        axes.set_yscale("log")
        axes.set_ylim(bottom=max(min(shares), 1e-6))
        axes.set_xlabel("direction, by its variance")
        axes.set_ylabel("share of the variance", color=BLUE)
        other = axes.twinx()
        other.plot(ranks, np.cumsum(shares), color=ORANGE, lw=1.8)
        other.set_ylim(0, 1.02)
        other.set_ylabel("added up", color=ORANGE)
        other.grid(False)
        return finish()


def reliability(curves: Mapping[str, Sequence[Entry]], xlabel: str, *, diagonal: bool) -> str:
    """How often an answer was right, by its score; equally many answers in each point."""
    with _figure(4.4, 3.0) as (axes, finish):
        if diagonal:
            axes.plot([0, 1], [0, 1], color=SOFT, lw=1, ls=":")
        for (name, bins), colour in zip(curves.items(), (BLUE, ORANGE, TEAL, ROSE, INK), strict=False):
            axes.plot(
                [entry["score"] for entry in bins],
                [entry["right"] for entry in bins],
                color=colour, marker="o", ms=4, lw=1.5, label=name,
            )  # fmt: skip
        axes.set_ylim(-0.03, 1.03)
        axes.set_xlabel(xlabel)
        axes.set_ylabel("share that was right")
        axes.legend(fontsize=8, loc="lower right")
        return finish()


def confusion(table: Sequence[Sequence[int]], labels: Sequence[str]) -> str:
    """Who is taken for whom: rows are what it is, columns what the head says, shaded by the row's share."""
    counts = np.asarray(table, dtype=np.float64)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = min(8.6, 2.2 + 0.14 * len(labels))
    with _figure(side, side * 0.94) as (axes, finish):
        axes.grid(False)
        axes.pcolormesh(shares, cmap="Blues", vmin=0, vmax=1, edgecolors="#eef1f5", linewidth=0.3)
        axes.invert_yaxis()
        places = np.arange(len(labels)) + 0.5
        size = 8 if len(labels) <= 20 else 6
        axes.set_xticks(places, labels, rotation=90, fontsize=size)
        axes.set_yticks(places, labels, fontsize=size)
        axes.set_xlabel("called")
        axes.set_ylabel("is")
        return finish()


def pareto(points: Sequence[tuple[str, float, float, float]]) -> str:
    """Artefacts as (name, ms or MB, worst-percent cosine, bytes): right and high is slow and faithful."""
    with _figure(5.2, 2.9) as (axes, finish):
        largest = max(point[3] for point in points)
        for (name, across, up, size), colour in zip(points, _cycle(len(points)), strict=True):
            axes.scatter([across], [up], s=30 + 330 * size / largest, color=colour, alpha=0.55, lw=0)
            axes.annotate(name, (across, up), xytext=(7, 5), textcoords="offset points", fontsize=8)
        axes.margins(0.22, 0.25)
        axes.set_xlabel("one thread, ms a photograph (area of a disc: bytes)")
        axes.set_ylabel("cosine to the float student, p1")
        return finish()


def codec(points: Mapping[str, Sequence[tuple[float, float]]], ylabel: str) -> str:
    """Bytes on the wire against what the code keeps, one line for each method."""
    with _figure(5.2, 2.9) as (axes, finish):
        for (name, pairs), colour in zip(points.items(), _cycle(len(points)), strict=True):
            across, up = zip(*sorted(pairs), strict=True)
            axes.plot(across, up, marker="o", ms=5, lw=1.4, color=colour, label=name)
        axes.set_xscale("log", base=2)
        ticks = sorted({across for pairs in points.values() for across, _ in pairs})
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
        axes.set_xlabel("bytes")
        axes.set_ylabel(ylabel)
        axes.legend(fontsize=8)
        return finish()


def _cycle(count: int) -> list[str]:
    colours = (BLUE, ORANGE, TEAL, ROSE, "#7a5fd0", "#a08a2a", INK)
    return [colours[place % len(colours)] for place in range(count)]


@contextmanager
def _figure(width: float, height: float) -> Iterator[tuple[Axes, Callable[[], str]]]:
    """Give axes of `width` x `height` inches in our style, and a function that returns the SVG."""
    with matplotlib.rc_context(STYLE):
        canvas = Canvas(figsize=(width, height), layout="constrained")

        def finish() -> str:
            buffer = io.StringIO()
            canvas.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
            text = buffer.getvalue()
            return text[text.index("<svg") :]

        yield canvas.add_subplot(), finish
