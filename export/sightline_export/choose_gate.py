"""Which score shall the gate use? Every candidate is calibrated alike; validation photographs choose.

In-domain: held-out photographs. Outside: the validation part of the outside sources, of classes that no training saw
where the recipe holds any out. Test photographs take no part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sightline_export.bounds import share_figure
from sightline_export.calibrate import GateFit, calibrated
from sightline_export.evaluate import Figure, auroc_figure
from sightline_export.gate_scores import Catalogue, candidates
from sightline_export.recipe import Gate

Vectors = NDArray[np.float32]

# A source with fewer studio pictures says little of its own.
LEAST_STUDIO = 10


@dataclass(frozen=True, eq=False)
class Trial:
    """One calibrated candidate and what validation says of it.

    `auroc`: held-out against outside. `let_in`: share of the outside photographs above the threshold. `studio`: share
    of studio pictures turned away by a gate that has not seen them, in the source that loses most: a pooled share would
    hide a source with few pictures behind one with many. None where there are none.
    """

    fit: GateFit
    auroc: Figure | None
    let_in: Figure | None
    studio: Figure | None


@dataclass(frozen=True, eq=False)
class Blind:
    """A catalogue without some studio pictures, these pictures' embeddings `(n, d)`, and the source of each."""

    catalogue: Catalogue
    studio: Vectors
    sources: Sequence[str]


def try_scores(
    catalogue: Catalogue,
    held: Mapping[str, Vectors],
    outside: Vectors,
    blinds: Sequence[Blind],
    settings: Gate,
    seed: int,
) -> list[Trial]:
    """Return a trial of every candidate; `held` maps a source to its held-out embeddings, `outside` is `(m, d)`."""
    fits = [calibrated(candidate, held, settings) for candidate in candidates(catalogue, settings, seed)]
    lost: dict[str, list[NDArray[np.bool_]]] = {}
    for blind in blinds:
        for candidate in candidates(blind.catalogue, settings, seed):
            fit = calibrated(candidate, held, settings)
            lost.setdefault(fit.name, []).append(fit.scores(blind.studio) < fit.reject_below)
    sources = np.array([name for blind in blinds for name in blind.sources])
    inside = np.concatenate([vectors for vectors in held.values() if len(vectors)])
    return [_trial(fit, inside, outside, worst_source(lost.get(fit.name, []), sources)) for fit in fits]


def worst_source(lost: Sequence[NDArray[np.bool_]], sources: NDArray[np.str_]) -> Figure | None:
    """Return the share of studio pictures turned away in the source that loses most; of few pictures: in all together."""
    if not lost:
        return None
    happened = np.concatenate(lost)
    data = "studio pictures, gate fitted without them"
    shares = [
        share_figure(happened[sources == name], f"{name} {data}")
        for name in np.unique(sources)
        if int((sources == name).sum()) >= LEAST_STUDIO
    ]
    return max(shares, key=lambda figure: figure.value) if shares else share_figure(happened, data)


def choose(trials: Sequence[Trial], settings: Gate) -> Trial:
    """Return the trial that lets the fewest strangers in, AUROC breaking ties, among those that spare the studio pictures.

    Fewest at the threshold that ships: AUROC is about every threshold, and was seen to prefer a score that lets in
    twice as many. Without outside photographs nothing can be told apart: the first one, the cosine. When every
    candidate turns away more than `settings.studio_reject` of the studio pictures, the one that spares them most is
    chosen.
    """
    sparing = [trial for trial in trials if trial.studio is None or trial.studio.value <= settings.studio_reject]
    if not sparing:
        return min(trials, key=lambda trial: trial.studio.value if trial.studio else 0.0)
    return min(sparing, key=_strangers)


def _strangers(trial: Trial) -> tuple[float, float]:
    return (trial.let_in.value, -trial.auroc.value) if trial.let_in and trial.auroc else (0.0, 0.0)


def trial_figures(trials: Sequence[Trial], chosen: Trial) -> dict[str, Figure]:
    """Return every trial's figures, the chosen one marked by "gate.chosen.NAME"."""
    found: dict[str, Figure] = {}
    for trial in trials:
        name = f"gate.validation.{trial.fit.name.replace(' ', '_')}"
        for ending, figure in (
            ("auroc", trial.auroc),
            ("let_in", trial.let_in),
            ("worst_studio_rejected", trial.studio),
        ):
            if figure is not None:
                found[f"{name}.{ending}"] = figure
    best = chosen.fit.name.replace(" ", "_")
    found[f"gate.chosen.{best}"] = Figure(float(len(trials)), None, len(trials), "of this many candidates")
    return found


def _trial(fit: GateFit, inside: Vectors, outside: Vectors, studio: Figure | None) -> Trial:
    auroc = let_in = None
    if len(outside):
        scores = fit.scores(outside)
        data = "held-out catalogue photographs against the outside sources' validation part"
        auroc = auroc_figure(fit.scores(inside), scores, data)
        let_in = share_figure(scores >= fit.reject_below, "outside sources' validation part")
    return Trial(fit, auroc, let_in, studio)
