"""The thresholds of one bundle: which photographs set which, and what that does to all the others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sightline_edge.gate import Gate
from sightline_export import calibrate, figures
from sightline_export.calibrate import GateFit
from sightline_export.data import PhotoSet
from sightline_export.evaluate import Figure
from sightline_export.recipe import Recipe
from sightline_shared.codec import Codec

Vectors = NDArray[np.float32]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Parts:
    """Rows of the photographs by what they are good for.

    `gallery` is the catalogue by source: training photographs and studio pictures, those of held-out items too, since a
    catalogue knows its own items whether or not the student was trained on them. `new_studio` are the studio pictures of
    held-out items. `held` are held-out photographs by source. `outside` may set thresholds, `outside_test` only measures.
    """

    gallery: dict[str, Rows]
    studio: Rows
    new_studio: Rows
    held: dict[str, Rows]
    outside: Rows
    outside_test: Rows

    @classmethod
    def of(cls, photos: PhotoSet) -> Parts:
        names = figures.sources_of(photos, "catalogue")
        held = {name: photos.where(source=name, role="val", studio=False) for name in names}
        test = photos.where(kind="outside", role="test")
        return cls(
            gallery={
                name: np.union1d(photos.where(source=name, role="train"), photos.where(source=name, studio=True))
                for name in names
            },
            studio=photos.where(kind="catalogue", studio=True),
            new_studio=photos.where(kind="catalogue", studio=True, held_out=True),
            held={name: rows for name, rows in held.items() if len(rows)},
            outside=np.setdiff1d(photos.where(kind="outside"), test),
            outside_test=test,
        )


def set_thresholds(
    recipe: Recipe, photos: PhotoSet, vectors: Vectors, codec: Codec
) -> tuple[Gate, dict[str, float], dict[str, Figure]]:
    """Return the gate with its quality limits, the service's thresholds, and what they do, measured.

    `vectors` are the shipped student's embeddings `(n, d) float32` of the photographs.
    """
    parts = Parts.of(photos)
    fit = fitted(recipe, vectors, parts)
    found = gate_figures(photos, vectors, parts, fit)
    found |= studio_figures(recipe, vectors, parts, fit)

    good = dict(parts.held)
    if len(parts.studio):
        good["studio"] = parts.studio  # smooth packshots on white: they must not pass for blurred or too bright
    pixels = {name: photos.tensors[rows] for name, rows in good.items()}
    limits, quality = calibrate.quality_limits(pixels, recipe.quality.keep)

    # The service sees decoded codes and searches the whole catalogue.
    decoded = figures.decoded_vectors(vectors, codec)
    gallery = vectors[np.concatenate(list(parts.gallery.values()))]
    known = known_scores(photos, decoded, vectors, parts)
    decision, decided = calibrate.decision_thresholds(known, calibrate.best_cosine(decoded[parts.outside], gallery))

    gate = Gate(
        fit.prototypes,
        fit.offsets,
        fit.reject_below,
        fit.sure_above,
        limits.min_sharpness,
        limits.min_brightness,
        limits.max_brightness,
    )
    return gate, decision, found | quality | decided


def known_scores(photos: PhotoSet, decoded: Vectors, vectors: Vectors, parts: Parts) -> dict[str, Vectors]:
    """Return the top cosines of held-out photographs, for each kind of catalogue that their items may stand in.

    A catalogue of photographs is much closer to a query than one of studio pictures, and most shops have the latter. A
    held-out item has only its studio picture: photographs of other items must not stand in for it.
    """
    scores: dict[str, Vectors] = {}
    for name, rows in parts.held.items():
        train = photos.where(source=name, role="train", studio=False)
        studio = photos.where(source=name, studio=True)
        seen = np.array([row for row in rows if not photos.photos[row].held_out], dtype=np.int64)
        if len(seen) and len(train):
            scores[name] = calibrate.best_cosine(decoded[seen], vectors[train])
        if len(studio):
            scores[f"{name}.studio"] = calibrate.best_cosine(decoded[rows], vectors[studio])
    return scores


def fitted(recipe: Recipe, vectors: Vectors, parts: Parts, without: Rows | None = None) -> GateFit:
    """Return the gate of the catalogue, or of the catalogue without some rows."""
    left_out = np.empty(0, np.int64) if without is None else without
    gallery = {name: vectors[np.setdiff1d(rows, left_out)] for name, rows in parts.gallery.items()}
    held = {name: vectors[rows] for name, rows in parts.held.items()}
    return calibrate.fit_gate(gallery, held, recipe.gate, recipe.seed)


def gate_figures(photos: PhotoSet, vectors: Vectors, parts: Parts, fit: GateFit) -> dict[str, Figure]:
    """Return what the gate does to good photographs of each source, and to photographs from outside."""
    found: dict[str, Figure] = {}
    for name in parts.gallery:
        if name in parts.held:
            values = fit.scores(vectors[parts.held[name]])
            set_on = f"{name} val (set on it)"
            found[f"gate.good_rejected.{name}"] = calibrate.rate_below(values, fit.reject_below, set_on)
            found[f"gate.good_unsure.{name}"] = calibrate.rate_below(values, fit.sure_above, set_on)
        tests = photos.where(source=name, role="test")
        if len(tests):
            asked = fit.scores(vectors[tests])
            found[f"gate.good_rejected.{name}.test"] = calibrate.rate_below(asked, fit.reject_below, f"{name} test")
    inside = fit.scores(vectors[np.concatenate(list(parts.held.values()))])
    unseen = np.array([row for row in parts.outside_test if photos.photos[row].held_out], dtype=np.int64)
    for ending, rows, data in (
        ("", parts.outside_test, "catalogue val against outside test"),
        (".unseen_classes", unseen, "catalogue val against outside test, classes never trained on"),
    ):
        if len(rows):
            here = calibrate.gate_figures(inside, fit.scores(vectors[rows]), fit.reject_below, data)
            found |= {f"{name}{ending}": figure for name, figure in here.items()}
    return found


def studio_figures(recipe: Recipe, vectors: Vectors, parts: Parts, fit: GateFit) -> dict[str, Figure]:
    """Return the share of studio pictures that the gate rejects when it has not seen them.

    Two ways: those of items that training never saw, with prototypes of the others; and all of them, with prototypes of
    the other half. With its own pictures among the prototypes the share would say nothing.
    """
    found: dict[str, Figure] = {}
    if len(parts.new_studio):
        blind = fitted(recipe, vectors, parts, without=parts.new_studio)
        found["gate.studio_rejected.held_out_items"] = calibrate.rate_below(
            blind.scores(vectors[parts.new_studio]),
            fit.reject_below,
            "studio pictures of items new to student and gate",
        )
    if len(parts.studio) >= 4:
        shuffled = np.random.default_rng(recipe.seed).permutation(parts.studio)
        halves = [
            fitted(recipe, vectors, parts, without=half).scores(vectors[half]) - fit.reject_below
            for half in (shuffled[::2], shuffled[1::2])
        ]
        found["gate.studio_rejected.leave_half_out"] = calibrate.rate_below(
            np.concatenate(halves), 0.0, "studio pictures, prototypes without their half"
        )
    return found
