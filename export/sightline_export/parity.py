"""Does every artefact give the float student's numbers? Measured with the code that ships.

`measure_parity` and `check_bars` are about the int8 student that every device falls back on; `compare` and
`check_artefacts` hold all artefacts against the float student on the same photographs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sightline_edge.runtimes.ort import OrtRuntime
from sightline_export.artefacts import Artefact
from sightline_export.convert_onnx import INPUT
from sightline_export.evaluate import Figure, mean_figure, overlap, statistic_figure, top_rows
from sightline_export.quantize import emulated_session
from sightline_export.recipe import Bars
from sightline_shared.errors import GoldenMismatch

TIMED_CALLS = 60
NEIGHBOURS = 10
# Rounding may leave a length of 1.00002; a tail that was quantized leaves 1.4, or 600.
LENGTH_SLACK = 0.01

Vectors = NDArray[np.float32]
# What a device decides about each embedding `(n, d)`: one label a row (stop, go, unsure; sensitive or not).
Decide = Callable[[Vectors], Sequence[object]]


@dataclass(frozen=True)
class Parity:
    """Cosines between int8 and float embeddings of the same photographs, and one-thread times in ms."""

    cosines: NDArray[np.float32]
    exact_cosines: NDArray[np.float32]
    int8_ms: float
    float_ms: float

    def figures(self, data: str) -> dict[str, Figure]:
        n = len(self.cosines)
        return {
            "int8.cosine_mean": mean_figure(self.cosines.astype(np.float64), data),
            "int8.cosine_p1": Figure(float(np.quantile(self.cosines, 0.01)), None, n, data),
            "int8.cosine_min": Figure(float(self.cosines.min()), None, n, data),
            "int8.integer_against_emulated_min": Figure(
                float(self.exact_cosines.min()), None, len(self.exact_cosines), data
            ),
            "latency.int8_one_thread_ms": Figure(self.int8_ms, None, TIMED_CALLS, "this machine, median, unquiet"),
            "latency.float_one_thread_ms": Figure(self.float_ms, None, TIMED_CALLS, "this machine, median, unquiet"),
        }


def measure_parity(float_model: bytes, int8_model: bytes, pixels: NDArray[np.uint8]) -> Parity:
    """Compare both models on `pixels` `(n, s, s, 3) uint8`, and the integer kernels with emulated arithmetic."""
    reference, shipped = OrtRuntime(float_model), OrtRuntime(int8_model)
    expected, got = embed_rows(reference, pixels), embed_rows(shipped, pixels)
    emulated = emulated_session(int8_model)
    few = pixels[:64]
    exact = np.concatenate([emulated.run(None, {INPUT: picture[None]})[0] for picture in few])
    return Parity(
        cosines=(expected * got).sum(axis=1),
        exact_cosines=(exact * got[: len(few)]).sum(axis=1),
        int8_ms=median_ms(shipped, pixels[:1]),
        float_ms=median_ms(reference, pixels[:1]),
    )


def embed_rows(runtime: OrtRuntime, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return `(n, d) float32`, one picture at a time, as a phone does it."""
    return np.concatenate([runtime.embed(picture[None]) for picture in pixels])


def median_ms(runtime: OrtRuntime, pixels: NDArray[np.uint8]) -> float:
    """Return the median time of one embedding in milliseconds."""
    times = []
    for _ in range(TIMED_CALLS):
        start = time.perf_counter()
        runtime.embed(pixels)
        times.append((time.perf_counter() - start) * 1000)
    return float(np.median(times))


def check_bars(parity: Parity, recall_loss: float | None, bars: Bars) -> None:
    """Raise GoldenMismatch when the int8 model is further from the float model than the recipe allows."""
    mean, worst = float(parity.cosines.mean()), float(parity.cosines.min())
    rules = [
        (mean >= bars.int8_cosine_mean, f"a mean cosine of {bars.int8_cosine_mean} or more", f"{mean:.4f}"),
        (worst >= bars.int8_cosine_min, f"a worst cosine of {bars.int8_cosine_min} or more", f"{worst:.4f}"),
    ]
    if recall_loss is not None:
        bar = bars.int8_recall_loss
        rules.append((recall_loss <= bar, f"a loss of R@1 of at most {bar}", f"{recall_loss:.4f}"))
    for good, expected, got in rules:
        if not good:
            raise GoldenMismatch(
                f"int8 student against float: expected {expected}, got {got}.",
                hint="Calibrate on more photographs (calibration_images), or train longer; [bars] sets the limits.",
            )


@dataclass(frozen=True)
class Comparison:
    """One artefact beside the float student, over n photographs.

    `cosines` and `lengths` `(n,)`; `decisions` is by name the share of photographs on which the device would decide as
    with the float student. Times are medians of one call on one thread in ms, None where they mean nothing.
    """

    artefact: Artefact
    cosines: NDArray[np.float64]
    lengths: NDArray[np.float64]
    neighbours: Figure
    decisions: Mapping[str, Figure]
    device_ms: Figure | None
    bare_ms: Figure | None
    data: str

    @property
    def mean(self) -> float:
        return float(self.cosines.mean())

    @property
    def p1(self) -> float:
        return float(np.quantile(self.cosines, 0.01))

    def figures(self) -> dict[str, Figure]:
        """Return every figure as "parity.ARTEFACT.WHAT", with what the artefact's note says about it."""
        n, data = len(self.cosines), self.data + (f" ({self.artefact.note})" if self.artefact.note else "")
        found = {
            "cosine_mean": mean_figure(self.cosines, data),
            "cosine_p1": statistic_figure(self.cosines, lambda drawn: float(np.quantile(drawn, 0.01)), data),
            "cosine_min": Figure(float(self.cosines.min()), None, n, data),
            "overlap@10": self.neighbours,
            **{f"{name}_agreement": figure for name, figure in self.decisions.items()},
            "size_bytes": Figure(float(self.artefact.size_bytes), None, 1, self.artefact.name),
        }
        if self.device_ms is not None and self.bare_ms is not None:
            found["one_thread_ms"] = self.device_ms
            ratio = self.device_ms.value / self.bare_ms.value
            found["ratio_to_bare_runtime"] = Figure(ratio, None, self.bare_ms.n, self.bare_ms.data)
        return {f"parity.{self.artefact.name}.{what}": figure for what, figure in found.items()}


@dataclass(frozen=True)
class Trial:
    """What every artefact is held against.

    `pixels` `(n, s, s, 3) uint8`; `reference` `(n, d)` the float student's embeddings of them; `gallery` `(g, d)` what
    the neighbours are looked for in; `decide` the device's decisions by name, as functions of embeddings.
    """

    pixels: NDArray[np.uint8]
    reference: Vectors
    gallery: Vectors
    data: str
    decide: Mapping[str, Decide] = field(default_factory=dict)


def compare(artefacts: Sequence[Artefact], trial: Trial) -> list[Comparison]:
    """Run every artefact on the trial's photographs, one picture at a time as a phone does; raises RuntimeFailed.

    Neighbours are the ten gallery rows nearest to a query: what the artefact's query shares with the float student's.
    """
    reference, gallery, data = trial.reference, trial.gallery, trial.data
    wanted = top_rows(reference, gallery, NEIGHBOURS)
    truth = {name: list(rule(reference)) for name, rule in trial.decide.items()}
    found = []
    for artefact in artefacts:
        got = np.concatenate([artefact.embed(picture[None]) for picture in trial.pixels])
        lengths = np.linalg.norm(got.astype(np.float64), axis=1)
        cosines = (got.astype(np.float64) * reference).sum(axis=1) / np.maximum(lengths, 1e-12)
        decisions = {name: agreement(truth[name], list(rule(got)), data) for name, rule in trial.decide.items()}
        neighbours = overlap(wanted, top_rows(got, gallery, NEIGHBOURS), data)
        device_ms, bare_ms = one_thread_ms(artefact, trial.pixels[:1])
        found.append(Comparison(artefact, cosines, lengths, neighbours, decisions, device_ms, bare_ms, data))
    return found


def agreement(first: Sequence[object], second: Sequence[object], data: str) -> Figure:
    """Return the share of rows on which two lists of decisions agree."""
    return mean_figure(np.array([float(a == b) for a, b in zip(first, second, strict=True)]), data)


def one_thread_ms(artefact: Artefact, pixels: NDArray[np.uint8]) -> tuple[Figure | None, Figure | None]:
    """Return the median time of the device's call and of the bare runtime's, by turns: a busy machine slows both."""
    if artefact.bare is None:
        return None, None
    calls: tuple[Callable[[NDArray[np.uint8]], object], ...] = (artefact.embed, artefact.bare)
    times: list[list[float]] = [[], []]
    for _ in range(TIMED_CALLS):
        for taken, call in zip(times, calls, strict=True):
            start = time.perf_counter()
            call(pixels)
            taken.append((time.perf_counter() - start) * 1000)
    data = "this machine, median of one-thread calls, unquiet"
    device, bare = (statistic_figure(np.array(taken), lambda drawn: float(np.median(drawn)), data) for taken in times)
    return device, bare


def misses(comparison: Comparison, bars: Bars) -> list[str]:
    """Return what the artefact misses, each as "expected ..., got ..."; empty when it may ship."""
    worst = float(np.abs(comparison.lengths - 1).max())
    rules = [
        (comparison.mean >= bars.artefact_cosine_mean, "a mean cosine", bars.artefact_cosine_mean, comparison.mean),
        (comparison.p1 >= bars.artefact_cosine_p1, "a 1st percentile", bars.artefact_cosine_p1, comparison.p1),
        (
            comparison.neighbours.value >= bars.artefact_overlap,
            "a top-10 overlap",
            bars.artefact_overlap,
            comparison.neighbours.value,
        ),
    ]
    found = [f"expected {what} of {bar} or more, got {got:.4f}" for good, what, bar, got in rules if not good]
    if not worst <= LENGTH_SLACK:
        found.append(f"expected lengths within {LENGTH_SLACK} of 1, got one off by {worst:.3f}")
    return found


def check_artefacts(comparisons: Sequence[Comparison], bars: Bars) -> None:
    """Raise GoldenMismatch naming the first shipped artefact that misses a bar, its figure and the bar."""
    for comparison in comparisons:
        missed = misses(comparison, bars) if comparison.artefact.shipped else []
        if missed:
            raise GoldenMismatch(
                f"artefact {comparison.artefact.name} against the float student on {comparison.data}: "
                f"{'; '.join(missed)}.",
                hint="Calibrate on more photographs, or leave this artefact out of [mobile]; [bars] sets the limits.",
            )
