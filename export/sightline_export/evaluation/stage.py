"""The evaluation of an export, after its figures and before its bundle: what is measured, and what the bars say."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from sightline_export.convert_onnx import open_session, run_rows
from sightline_export.data import PhotoSet
from sightline_export.evaluate import Figure
from sightline_export.evaluation import collapse, cross_generation, robustness, sources, stability
from sightline_export.evaluation.counterfactual import counterfactuals
from sightline_export.evaluation.questions import Question, Rows, Vectors, main_questions, nearest, questions
from sightline_export.evaluation.reliability import reliability
from sightline_export.workspace import Run
from sightline_shared.bundle import open_bundle


@dataclass(frozen=True, eq=False)
class Evaluated:
    """What was measured: figures by name, and what the model card draws beside them (card/page.py says what)."""

    figures: dict[str, Figure] = field(default_factory=dict)
    details: dict[str, object] = field(default_factory=dict)


def evaluate(run: Run, photos: PhotoSet, vectors: Vectors, model: bytes) -> Evaluated:
    """Measure robustness, collapse, stability, counterfactuals and, with an earlier bundle, regression.

    `vectors` `(photographs, d) float32` are what the shipped `model` makes of the photographs. Nothing is measured
    when the recipe's `evaluation.queries` is 0. Raises BundleError when the earlier bundle cannot be opened.
    """
    settings = run.recipe.evaluation
    figures: dict[str, Figure] = {}
    asked = main_questions(photos)
    if run.recipe.regression.bundle:
        figures |= compare(run, photos, vectors)
    if not settings.queries or not asked:
        return Evaluated(figures, {"sources": sources.describe(run.recipe, photos)})
    session = open_session(model, threads=1)
    seed = run.recipe.seed

    def embed(view: object) -> Vectors:
        return run_rows(session, np.asarray(view, dtype=np.uint8)[None])

    gallery = np.unique(np.concatenate([question.gallery for question in asked]))
    queries = np.unique(np.concatenate([question.queries for question in asked]))
    chosen = np.random.default_rng(seed).permutation(queries)[: settings.queries]
    samples = robustness.draw(photos, settings.queries, seed)
    figures |= robustness.robustness(photos, vectors, samples, embed, seed, run.progress)
    figures |= stability.stability(photos, vectors, chosen[: max(2, settings.queries // 3)], gallery, embed, seed)
    figures |= counterfactuals(photos, natural_rows(photos, queries), vectors, embed, settings.queries // 3, seed)
    figures |= collapse.collapse_figures(
        vectors[gallery], vectors[queries], f"{len(gallery)} gallery photographs", seed
    )
    details = {
        "sources": sources.describe(run.recipe, photos),
        "spectrum": [round(float(share), 7) for share in collapse.spectrum(vectors[gallery])],
        "scores": {question.name: scores(question, vectors) for question in asked},
    }
    return Evaluated(figures, details)


def scores(question: Question, vectors: Vectors) -> list[dict[str, float]]:
    """Return reliability bins of the first hit's cosine: how often it is right, by how high it is."""
    best = nearest(question, vectors, vectors)
    cosines = (vectors[question.queries] * vectors[question.gallery[best]]).sum(axis=1).astype(np.float64)
    return reliability(cosines, (question.given[best] == question.wanted).astype(np.float64))


def natural_rows(photos: PhotoSet, queries: Rows) -> Rows:
    """Return those of `queries` that are not studio pictures."""
    return np.array([row for row in queries if not photos.photos[row].studio], dtype=np.int64)


def compare(run: Run, photos: PhotoSet, vectors: Vectors) -> dict[str, Figure]:
    """Return the cross-generation matrix and the losses against the recipe's earlier bundle."""
    old = open_bundle(run.recipe.path(run.recipe.regression.bundle))
    before = cross_generation.embed_with(old, photos, run.progress)
    asked = questions(photos)
    return cross_generation.generations(asked, before, vectors) | cross_generation.losses(asked, before, vectors)
