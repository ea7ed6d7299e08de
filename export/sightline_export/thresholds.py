"""The thresholds of one bundle: which photographs set which, and what that does to all the others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sightline_edge.gate import Gate
from sightline_export import calibrate, figures
from sightline_export.data import PhotoSet
from sightline_export.evaluate import Figure
from sightline_export.recipe import Recipe
from sightline_shared.codec import Codec

Vectors = NDArray[np.float32]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Parts:
    """Rows of the photographs by what they are good for.

    `known` are the items that training saw: photographs and studio pictures; prototypes come from them. `studio` are the
    studio pictures among them, `new_studio` those of held-out items, which stand for a catalogue that the gate has not
    seen. `held` are held-out photographs by source. `outside` may set thresholds, `outside_test` only measures.
    """

    known: Rows
    studio: Rows
    new_studio: Rows
    held: dict[str, Rows]
    outside: Rows
    outside_test: Rows

    @classmethod
    def of(cls, photos: PhotoSet) -> Parts:
        studio = photos.where(kind="catalogue", studio=True, held_out=False)
        held = {name: photos.where(source=name, role="val") for name in figures.sources_of(photos, "catalogue")}
        test = photos.where(kind="outside", role="test")
        return cls(
            known=np.union1d(photos.where(kind="catalogue", role="train"), studio),
            studio=studio,
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
    prototypes = calibrate.gate_prototypes(vectors[parts.known], recipe.gate.prototypes, recipe.seed)
    scores = {name: calibrate.best_cosine(vectors[rows], prototypes) for name, rows in parts.held.items()}
    reject, sure = calibrate.gate_thresholds(scores, recipe.gate.false_reject)
    found = gate_figures(photos, vectors, parts, prototypes, scores, (reject, sure))
    found |= studio_figures(recipe, vectors, parts, prototypes, reject)

    pixels = {name: photos.tensors[rows] for name, rows in parts.held.items()}
    studio = np.union1d(parts.studio, parts.new_studio)
    if len(studio):
        # A studio picture has much white and little texture, and is a good picture all the same.
        pixels["studio"] = photos.tensors[studio]
    limits, quality = calibrate.quality_limits(pixels, recipe.quality.keep)

    # The service sees decoded codes and searches the whole catalogue, held-out items included.
    decoded = figures.decoded_vectors(vectors, codec)
    gallery = vectors[np.union1d(parts.known, parts.new_studio)]
    known = {name: calibrate.best_cosine(decoded[rows], gallery) for name, rows in parts.held.items()}
    decision, decided = calibrate.decision_thresholds(known, calibrate.best_cosine(decoded[parts.outside], gallery))

    gate = Gate(prototypes, reject, sure, limits.min_sharpness, limits.min_brightness, limits.max_brightness)
    return gate, decision, found | quality | decided


def gate_figures(
    photos: PhotoSet,
    vectors: Vectors,
    parts: Parts,
    prototypes: Vectors,
    scores: dict[str, Vectors],
    thresholds: tuple[float, float],
) -> dict[str, Figure]:
    """Return what the gate does to good photographs of each source, and to photographs from outside."""
    reject, sure = thresholds
    found: dict[str, Figure] = {}
    for name, values in scores.items():
        found[f"gate.good_rejected.{name}"] = calibrate.rate_below(values, reject, f"{name} val (set on it)")
        found[f"gate.good_unsure.{name}"] = calibrate.rate_below(values, sure, f"{name} val (set on it)")
        tests = photos.where(source=name, role="test")
        if len(tests):
            asked = calibrate.best_cosine(vectors[tests], prototypes)
            found[f"gate.good_rejected.{name}.test"] = calibrate.rate_below(asked, reject, f"{name} test")
    inside = np.concatenate(list(scores.values()))
    unseen = np.array([row for row in parts.outside_test if photos.photos[row].held_out], dtype=np.int64)
    for ending, rows, data in (
        ("", parts.outside_test, "catalogue val against outside test"),
        (".unseen_classes", unseen, "catalogue val against outside test, classes never trained on"),
    ):
        if len(rows):
            outside = calibrate.best_cosine(vectors[rows], prototypes)
            figures_here = calibrate.gate_figures(inside, outside, reject, data)
            found |= {f"{name}{ending}": figure for name, figure in figures_here.items()}
    return found


def studio_figures(
    recipe: Recipe, vectors: Vectors, parts: Parts, prototypes: Vectors, reject: float
) -> dict[str, Figure]:
    """Return the share of studio pictures that the gate rejects, none of them among its prototypes' own.

    Three ways: prototypes without any studio picture, prototypes with the other half of them, and (with the shipped
    prototypes) studio pictures of held-out items.
    """
    found: dict[str, Figure] = {}
    if len(parts.new_studio):
        scores = calibrate.best_cosine(vectors[parts.new_studio], prototypes)
        found["gate.studio_rejected.held_out_items"] = calibrate.rate_below(
            scores, reject, "studio pictures of held-out items"
        )
    if len(parts.studio) < 4:
        return found
    photographs = np.setdiff1d(parts.known, parts.studio)
    if len(photographs):
        without = calibrate.gate_prototypes(vectors[photographs], recipe.gate.prototypes, recipe.seed)
        scores = calibrate.best_cosine(vectors[parts.studio], without)
        found["gate.studio_rejected.no_studio_prototypes"] = calibrate.rate_below(scores, reject, "studio pictures")
    shuffled = np.random.default_rng(recipe.seed).permutation(parts.studio)
    halves = []
    for kept, asked in ((shuffled[::2], shuffled[1::2]), (shuffled[1::2], shuffled[::2])):
        rows = np.union1d(photographs, kept)
        other = calibrate.gate_prototypes(vectors[rows], recipe.gate.prototypes, recipe.seed)
        halves.append(calibrate.best_cosine(vectors[asked], other))
    found["gate.studio_rejected.leave_half_out"] = calibrate.rate_below(
        np.concatenate(halves), reject, "studio pictures, prototypes of the other half"
    )
    return found
