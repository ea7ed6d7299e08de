"""Thresholds from held-out photographs: the gate, the frame's quality, and the service's decision.

Every threshold is set by what it costs good photographs, per domain, and the most cautious domain counts. What it
does to photographs from outside the catalogue is measured and reported, never promised.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from sightline_edge.ood import OodScore
from sightline_edge.quality import measure
from sightline_export.evaluate import Figure, auroc_figure, mean_figure
from sightline_export.gate_scores import Candidate, Catalogue, half, prototypes
from sightline_export.recipe import Gate
from sightline_shared.errors import TrainingDataTooSmall
from sightline_shared.preprocess import luma

# "Sure" is where this share of good photographs lies above; below it the device asks the cloud and says so.
SURE_SHARE = 0.75
STRONG_BLUR_PIXELS = 4.0
DARK_GAIN = 0.06
OUTSIDE_FOUND = 0.05
NOT_FOUND_MISS = 0.02


@dataclass(frozen=True)
class QualityLimits:
    """Least sharpness (variance of the Laplacian), least and largest brightness (mean luma)."""

    min_sharpness: float
    min_brightness: float
    max_brightness: float


@dataclass(frozen=True, eq=False)
class GateFit:
    """A fitted gate: the score with its offsets, as the gate file stores them, and the two thresholds."""

    name: str
    ood: OodScore
    reject_below: float
    sure_above: float

    def scores(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the gate's scores `(n,)` of `embeddings` `(n, d) float32`."""
        return self.ood.scores(embeddings)


def fit_gate(
    gallery: Mapping[str, NDArray[np.float32]], held: Mapping[str, NDArray[np.float32]], settings: Gate, seed: int
) -> GateFit:
    """Return the prototypes' gate of a catalogue: `gallery` and `held` map a source to embeddings `(n, d) float32`."""
    return calibrated(prototypes(Catalogue.unlabelled(gallery), settings.prototypes, seed), held, settings)


def calibrated(candidate: Candidate, held: Mapping[str, NDArray[np.float32]], settings: Gate) -> GateFit:
    """Return `candidate` with a cut-off for every source, from its held-out embeddings `(n, d) float32`.

    A source's own cut-off is where `settings.false_reject` of its held-out photographs lie below it; a source without
    any takes the loosest of the others. Offsets bring the cut-offs to one scale, that of the loosest source. Scores that
    are not cosines are then mapped so that the cut-off is 0.5 and the best held-out photograph is 1. Raises
    TrainingDataTooSmall when no source has 5 held-out photographs.
    """
    cuts = {
        number: float(np.quantile(_own(candidate, number).scores(held[name]), settings.false_reject))
        for number, name in enumerate(candidate.sources)
        if len(held.get(name, ())) >= 5
    }
    if not cuts:
        raise TrainingDataTooSmall(
            f"gate: expected 5 or more held-out photographs in a source, got { {k: len(v) for k, v in held.items()} }.",
            hint="Name a 'val' split in the recipe's sources, or raise val_share.",
        )
    loosest = min(cuts.values())
    steps = np.array([cuts.get(number, loosest) - loosest for number in range(len(candidate.sources))])
    offsets = candidate.score.offsets + steps[candidate.row_source].astype(np.float32)
    if candidate.score.kind == "cosine":
        offsets = half(offsets)  # as the gate file holds them
    ood = dataclasses.replace(candidate.score, offsets=offsets.astype(np.float32))
    scores = {name: ood.scores(vectors) for name, vectors in held.items() if len(vectors) >= 5}
    # All rows together score higher than a source's own (a sum over rows, as the energy's, by much): the cut-off is
    # where the source that it costs most loses the stated share.
    cut = min(float(np.quantile(values, settings.false_reject)) for values in scores.values())
    if ood.kind not in ("cosine", "knn"):
        top = max(float(values.max()) for values in scores.values())
        gain = 0.5 / max(top - cut, 1e-6)
        ood = dataclasses.replace(ood, gain=gain, shift=0.5 - gain * cut)
        scores, cut = {name: ood.scores(held[name]) for name in scores}, 0.5
    sure = min(float(np.quantile(values, 1 - SURE_SHARE)) for values in scores.values())
    return GateFit(candidate.name, ood, cut, max(sure, cut))


def _own(candidate: Candidate, number: int) -> OodScore:
    """Return the score with the rows of one source alone."""
    mine = candidate.row_source == number
    return dataclasses.replace(candidate.score, rows=candidate.score.rows[mine], offsets=candidate.score.offsets[mine])


def best_cosine(embeddings: NDArray[np.float32], prototypes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return each row's largest cosine to a prototype: `(n,) float32`."""
    best: NDArray[np.float32] = (embeddings @ prototypes.T).max(axis=1)
    return best


def rate_below(scores: NDArray[np.float32], threshold: float, data: str) -> Figure:
    """Return the share of scores below the threshold."""
    return mean_figure((scores < threshold).astype(np.float64), data)


def gate_figures(
    inside: NDArray[np.float32], outside: NDArray[np.float32], threshold: float, data: str
) -> dict[str, Figure]:
    """Return AUROC, FPR95 (outside let in when 95 % of inside is) and the rate at the shipped threshold."""
    at95 = float(np.quantile(inside, 0.05))
    return {
        "gate.auroc": auroc_figure(inside, outside, data),
        "gate.fpr95": mean_figure((outside >= at95).astype(np.float64), data),
        "gate.outside_rejected": rate_below(outside, threshold, data),
    }


def quality_limits(pixels: Mapping[str, NDArray[np.uint8]], keep: float) -> tuple[QualityLimits, dict[str, Figure]]:
    """Return limits that keep at least `keep` of the good pictures of every group, and both error rates.

    `pixels` maps a group (a source's photographs, its studio pictures) to `(n, s, s, 3) uint8`. Each limit lies midway
    (on a log scale) between the worst good pictures and the best bad ones: the same pictures strongly blurred (Gaussian,
    4 pixels of the model's input) or nearly black (6 % of their light); the upper one between the brightest and white.
    """
    good = {name: [measure(luma(picture)) for picture in pictures] for name, pictures in pixels.items()}
    sharpness = {name: np.array([item.sharpness for item in found]) for name, found in good.items()}
    brightness = {name: np.array([item.brightness for item in found]) for name, found in good.items()}
    blurred = {
        name: np.array([measure(luma(_blurred(picture))).sharpness for picture in pixels[name]]) for name in pixels
    }
    dark = {name: np.array([measure(luma(_dark(picture))).brightness for picture in pixels[name]]) for name in pixels}
    share = (1 - keep) / 2
    limits = QualityLimits(
        min_sharpness=_midway(sharpness, blurred, share),
        min_brightness=_midway(brightness, dark, share),
        max_brightness=(max(float(np.quantile(values, 1 - share)) for values in brightness.values()) + 255.0) / 2,
    )
    figures: dict[str, Figure] = {}
    for name in pixels:
        lost = (sharpness[name] < limits.min_sharpness) | _outside(brightness[name], limits)
        through = blurred[name] >= limits.min_sharpness
        figures[f"quality.good_turned_away.{name}"] = mean_figure(lost.astype(np.float64), f"{name} (set on it)")
        figures[f"quality.blur_let_through.{name}"] = mean_figure(
            through.astype(np.float64), f"{name}, Gaussian blur of 4 px at the model's size"
        )
        figures[f"quality.dark_let_through.{name}"] = mean_figure(
            (dark[name] >= limits.min_brightness).astype(np.float64), f"{name} at 6 % of its light"
        )
    return limits, figures


def decision_thresholds(
    known: Mapping[str, NDArray[np.float32]], outside: NDArray[np.float32]
) -> tuple[dict[str, float], dict[str, Figure]]:
    """Return the service's thresholds on the top cosine, and what they do on the data they were set on.

    `known` maps a way of asking (a source's photographs, its studio pictures) to the top cosines `(n,)` of held-out
    photographs of catalogue items; `outside` `(m,)` are those of photographs from outside. Below `not_found_max_score`
    lie 2 % of the known photographs of the worst way: a service must not deny what it holds. From `found_min_score` up
    lie 5 % of the outside ones (without any: 75 % of the known ones).
    """
    groups = {name: values for name, values in known.items() if len(values) >= 5}
    low = min(float(np.quantile(values, NOT_FOUND_MISS)) for values in groups.values())
    if len(outside):
        found = float(np.quantile(outside, 1 - OUTSIDE_FOUND))
    else:
        found = float(np.quantile(np.concatenate(list(groups.values())), 1 - SURE_SHARE))
    found = max(found, low)
    figures: dict[str, Figure] = {}
    for name, values in groups.items():
        data = f"{name}, held-out photographs (set on it)"
        figures[f"decision.known_found.{name}"] = mean_figure((values >= found).astype(np.float64), data)
        figures[f"decision.known_missed.{name}"] = mean_figure((values < low).astype(np.float64), data)
    if len(outside):
        data = "photographs from outside the catalogue"
        figures["decision.outside_found"] = mean_figure((outside >= found).astype(np.float64), data)
        figures["decision.outside_not_found"] = mean_figure((outside < low).astype(np.float64), data)
    return {"found_min_score": found, "not_found_max_score": low}, figures


def _outside(brightness: NDArray[np.float64], limits: QualityLimits) -> NDArray[np.bool_]:
    return (brightness < limits.min_brightness) | (brightness > limits.max_brightness)


def _midway(good: Mapping[str, NDArray[np.float64]], bad: Mapping[str, NDArray[np.float64]], share: float) -> float:
    """Return a limit that `share` of the worst good group falls below, or a lower one that still stops the bad."""
    least = min(float(np.quantile(values, share)) for values in good.values())
    most = max(float(np.quantile(values, 0.99)) for values in bad.values())
    return float(np.sqrt(least * most)) if most < least else least


def _dark(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return (picture * DARK_GAIN).astype(np.uint8)


def _blurred(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    blurred = Image.fromarray(picture).filter(ImageFilter.GaussianBlur(STRONG_BLUR_PIXELS))
    return np.asarray(blurred, dtype=np.uint8)
