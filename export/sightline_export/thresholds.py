"""The thresholds of one bundle: which photographs set which, and what that does to all the others."""

from __future__ import annotations

import dataclasses
import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sightline_edge.gate import Gate
from sightline_export import calibrate, figures
from sightline_export.bounds import share_figure, upper_bound
from sightline_export.calibrate import GateFit
from sightline_export.choose_gate import Blind, choose, trial_figures, try_scores
from sightline_export.data import PhotoSet
from sightline_export.evaluate import Figure
from sightline_export.gate_scores import Catalogue, candidates
from sightline_export.recipe import Recipe
from sightline_shared.codec import Codec

Vectors = NDArray[np.float32]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Parts:
    """Rows of the photographs by what they are good for.

    `gallery` is the catalogue by source: training photographs and studio pictures, those of held-out items too, since a
    catalogue knows its own items whether or not the student was trained on them. `new_studio` are the studio pictures of
    held-out items. `held` are held-out photographs by source. `outside` may set thresholds, `outside_val` chooses the
    gate's score (the validation part where there is one), `outside_test` only measures.
    """

    gallery: dict[str, Rows]
    studio: Rows
    new_studio: Rows
    held: dict[str, Rows]
    outside: Rows
    outside_val: Rows
    outside_test: Rows

    @classmethod
    def of(cls, photos: PhotoSet) -> Parts:
        names = figures.sources_of(photos, "catalogue")
        held = {name: photos.where(source=name, role="val", studio=False) for name in names}
        test = photos.where(kind="outside", role="test")
        outside = np.setdiff1d(photos.where(kind="outside"), test)
        validation = photos.where(kind="outside", role="val")
        return cls(
            gallery={
                name: np.union1d(photos.where(source=name, role="train"), photos.where(source=name, studio=True))
                for name in names
            },
            studio=photos.where(kind="catalogue", studio=True),
            new_studio=photos.where(kind="catalogue", studio=True, held_out=True),
            held={name: rows for name, rows in held.items() if len(rows)},
            outside=outside,
            outside_val=validation if len(validation) else outside,
            outside_test=test,
        )


def set_thresholds(
    recipe: Recipe, photos: PhotoSet, vectors: Vectors, codec: Codec
) -> tuple[Gate, dict[str, float], dict[str, Figure]]:
    """Return the gate with its quality limits, the service's thresholds, and what they do, measured.

    `vectors` are the shipped student's embeddings `(n, d) float32` of the photographs.
    """
    parts = Parts.of(photos)
    fit, found = chosen_gate(recipe, photos, vectors, parts)
    found |= gate_figures(recipe, photos, vectors, parts, fit)
    found |= studio_figures(recipe, photos, vectors, parts, fit)
    found |= domain_figures(recipe, photos, vectors, parts, fit)

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
        fit.ood,
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


def chosen_gate(recipe: Recipe, photos: PhotoSet, vectors: Vectors, parts: Parts) -> tuple[GateFit, dict[str, Figure]]:
    """Return the gate whose score does best on validation photographs, and the figures of every candidate."""
    blinds = [
        Blind(
            catalogue_of(photos, vectors, parts, without=half),
            vectors[half],
            [photos.photos[row].source for row in half],
        )
        for half in studio_halves(recipe, parts)
    ]
    trials = try_scores(
        catalogue_of(photos, vectors, parts),
        held_vectors(vectors, parts),
        vectors[parts.outside_val],
        blinds,
        recipe.gate,
        recipe.seed,
    )
    best = choose(trials, recipe.gate)
    return best.fit, trial_figures(trials, best)


def catalogue_of(photos: PhotoSet, vectors: Vectors, parts: Parts, without: Rows | None = None) -> Catalogue:
    """Return embeddings and classes of the catalogue, or of the catalogue without some rows."""
    left_out = np.empty(0, np.int64) if without is None else without
    rows = {name: np.setdiff1d(own, left_out) for name, own in parts.gallery.items()}
    return Catalogue(
        {name: vectors[own] for name, own in rows.items()},
        {
            name: [photos.photos[row].fine if photos.photos[row].labelled else "" for row in own]
            for name, own in rows.items()
        },
    )


def held_vectors(vectors: Vectors, parts: Parts) -> dict[str, Vectors]:
    """Return the held-out photographs' embeddings by source."""
    return {name: vectors[rows] for name, rows in parts.held.items()}


def studio_halves(recipe: Recipe, parts: Parts) -> tuple[Rows, ...]:
    """Return two halves of the studio pictures, each to be judged by a gate that has not seen it; none of a few."""
    if len(parts.studio) < 4:
        return ()
    shuffled = np.random.default_rng(recipe.seed).permutation(parts.studio)
    return shuffled[::2], shuffled[1::2]


def fitted(recipe: Recipe, catalogue: Catalogue, held: dict[str, Vectors], name: str) -> GateFit:
    """Return the gate of `catalogue` with the score called `name`, or the cosine where the catalogue has no classes."""
    settings = dataclasses.replace(recipe.gate, scores=(name.split()[0],))
    found = {candidate.name: candidate for candidate in candidates(catalogue, settings, recipe.seed)}
    return calibrate.calibrated(found.get(name) or next(iter(found.values())), held, settings)


def gate_figures(recipe: Recipe, photos: PhotoSet, vectors: Vectors, parts: Parts, fit: GateFit) -> dict[str, Figure]:
    """Return what the gate does to good photographs of each source, and to photographs from outside.

    AUROC and FPR95 hold held-out photographs against the outside test photographs: all, classes that no training saw,
    and those the recipe calls near (things like those a shop sells) and far; then the catalogue's own test photographs
    against all of them.
    """
    found: dict[str, Figure] = {}
    tests: list[Rows] = []
    for name in parts.gallery:
        if name in parts.held:
            values = fit.scores(vectors[parts.held[name]])
            set_on = f"{name} val (set on it)"
            lost = values < fit.reject_below
            found[f"gate.good_rejected.{name}"] = share_figure(lost, set_on)
            found[f"gate.good_unsure.{name}"] = calibrate.rate_below(values, fit.sure_above, set_on)
            bound = upper_bound(int(lost.sum()), len(lost))
            found[f"gate.good_rejected_upper.{name}"] = Figure(bound, None, len(lost), f"{set_on}, 95 % upper bound")
        asked = photos.where(source=name, role="test")
        if len(asked):
            tests.append(asked)
            found[f"gate.good_rejected.{name}.test"] = share_figure(
                fit.scores(vectors[asked]) < fit.reject_below, f"{name} test"
            )
    inside = fit.scores(vectors[np.concatenate(list(parts.held.values()))])
    for ending, rows, data in outside_groups(recipe, photos, parts):
        here = calibrate.gate_figures(
            inside, fit.scores(vectors[rows]), fit.reject_below, f"catalogue val against {data}"
        )
        found |= {f"{name}{ending}": figure for name, figure in here.items()}
    if tests and len(parts.outside_test):
        asked_scores, outside = fit.scores(vectors[np.concatenate(tests)]), fit.scores(vectors[parts.outside_test])
        data = "catalogue test against outside test"
        here = calibrate.gate_figures(asked_scores, outside, fit.reject_below, data)
        found |= {f"{name}.test": here[name] for name in ("gate.auroc", "gate.fpr95")}
    return found


def outside_groups(recipe: Recipe, photos: PhotoSet, parts: Parts) -> list[tuple[str, Rows, str]]:
    """Return groups of outside test photographs: the ending of their figures, their rows, and what they are."""
    near = set(recipe.gate.near)
    rows = parts.outside_test
    groups = [
        ("", [True] * len(rows), "outside test"),
        (".unseen_classes", [photos.photos[row].held_out for row in rows], "outside test, classes never trained on"),
    ]
    if near:
        groups += [
            (
                ".near",
                [photos.photos[row].fine in near for row in rows],
                "outside test, things like those a shop sells",
            ),
            (".far", [photos.photos[row].fine not in near for row in rows], "outside test, other things"),
        ]
    found = [(ending, rows[np.array(mask, dtype=bool)], data) for ending, mask, data in groups]
    return [(ending, chosen, data) for ending, chosen, data in found if len(chosen)]


def studio_figures(recipe: Recipe, photos: PhotoSet, vectors: Vectors, parts: Parts, fit: GateFit) -> dict[str, Figure]:
    """Return the share of studio pictures that the gate rejects when it has not seen them.

    Two ways: those of items that training never saw, with a gate of the others; and all of them, with a gate of the
    other half. With its own pictures in the gate the share would say nothing.
    """
    found: dict[str, Figure] = {}
    held = held_vectors(vectors, parts)
    if len(parts.new_studio):
        blind = fitted(recipe, catalogue_of(photos, vectors, parts, parts.new_studio), held, fit.name)
        found["gate.studio_rejected.held_out_items"] = share_figure(
            blind.scores(vectors[parts.new_studio]) < blind.reject_below,
            "studio pictures of items new to student and gate",
        )
    lost: dict[str, list[bool]] = {}
    for half in studio_halves(recipe, parts):
        blind = fitted(recipe, catalogue_of(photos, vectors, parts, half), held, fit.name)
        for row, value in zip(half, blind.scores(vectors[half]) < blind.reject_below, strict=True):
            lost.setdefault(photos.photos[row].source, []).append(bool(value))
    if lost:
        everything = np.array(list(itertools.chain.from_iterable(lost.values())))
        data = "studio pictures, gate fitted without their half"
        found["gate.studio_rejected.leave_half_out"] = share_figure(everything, data)
        for name, values in lost.items():
            found[f"gate.studio_rejected.leave_half_out.{name}"] = share_figure(np.array(values), f"{name} {data}")
    return found


def domain_figures(recipe: Recipe, photos: PhotoSet, vectors: Vectors, parts: Parts, fit: GateFit) -> dict[str, Figure]:
    """Return how well a gate of one source alone turns away another source's photographs: the nearest outside there is."""
    found: dict[str, Figure] = {}
    catalogue, held = catalogue_of(photos, vectors, parts), held_vectors(vectors, parts)
    for name in [name for name in parts.held if len(parts.held[name]) >= 5]:
        alone = Catalogue({name: catalogue.vectors[name]}, {name: catalogue.classes[name]})
        one = fitted(recipe, alone, {name: held[name]}, fit.name)
        for other in [other for other in parts.held if other != name]:
            data = f"{name} val against {other} val, gate of {name} alone ({one.name})"
            here = calibrate.gate_figures(one.scores(held[name]), one.scores(held[other]), one.reject_below, data)
            found |= {f"{key}.{name}_alone_against_{other}": figure for key, figure in here.items()}
    return found
