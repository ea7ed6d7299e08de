"""The decision's models: questions whose right answer is known, asked of the catalogue as the service will be asked.

Two styles of catalogue are asked, since a catalogue of photographs lies much closer to a phone's picture than one of studio
pictures. Known questions are held-out photographs; near ones ask for something of the same shelf that was taken out of
the catalogue; far ones are photographs from outside, of the validation part: the test part only measures.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sightline_edge.gate import Gate
from sightline_export.bounds import share_figure
from sightline_export.data import Photo, PhotoSet
from sightline_export.evaluate import Figure
from sightline_export.thresholds import Parts
from sightline_shared.confidence import Calibration
from sightline_shared.confidence_fit import Example, fit
from sightline_shared.errors import TrainingDataTooSmall
from sightline_shared.evidence import FETCHED, Evidence, first_place, weigh
from sightline_shared.heads import Heads

Vectors = NDArray[np.float32]
Rows = NDArray[np.int64]

# A fifth of the classes at a time is taken out of the catalogue.
FOLDS = 5
# Every question is put a second time as if no item said its category.
BARE = "_without_categories"


@dataclass(frozen=True, eq=False)
class Asker:
    """All photographs with what the service sees of them: decoded codes and the gate's scores, as they travel."""

    photos: PhotoSet
    vectors: Vectors
    decoded: Vectors
    gate_scores: Vectors
    heads: Heads

    def examples(self, queries: Rows, gallery: Rows, kind: str, style: str, group: str) -> Iterator[Example]:
        """Yield what every query finds in the gallery, and what it finds where no item says its category."""
        cosines = self.decoded[queries] @ self.vectors[gallery].T
        best = np.argsort(-cosines, axis=1, kind="stable")[:, :FETCHED]
        probabilities, labels = self.heads.semantic.probabilities(self.decoded[queries]), self.heads.semantic.labels
        for place, query in enumerate(queries.tolist()):
            near = [self.photos.photos[row] for row in gallery[best[place]].tolist()]
            nothing = [""] * len(near)
            for ending, categories in (("", [_category(photo) for photo in near]), (BARE, nothing)):
                found = cosines[place, best[place]].tolist()
                first = first_place(found, categories, probabilities[place], labels)
                evidence = weigh(
                    found,
                    categories,
                    first=first,
                    gate=float(self.gate_scores[query]),
                    probabilities=probabilities[place],
                    labels=labels,
                )
                right = kind == "known" and near[first].item == self.photos.photos[query].item
                yield Example(evidence, right, kind, style + ending, group)

    def with_classes_out(self, queries: Rows, gallery: Rows, style: str, group: str, seed: int) -> Iterator[Example]:
        """Yield what every query finds when its class, and a fifth of the others, are not in the gallery."""
        items = np.array([photo.item for photo in self.photos.photos])
        classes = np.random.default_rng(seed).permutation(np.unique(items[queries]))
        for fold in range(FOLDS):
            out = classes[fold::FOLDS]
            asking, left = queries[np.isin(items[queries], out)], gallery[~np.isin(items[gallery], out)]
            if len(asking) and len(left):
                yield from self.examples(asking, left, "near", style, group)


def fit_decision(
    photos: PhotoSet, vectors: Vectors, decoded: Vectors, gate: Gate, heads: Heads, seed: int, made_of: str
) -> tuple[Calibration | None, dict[str, Figure]]:
    """Return the decision's models and what they do to the photographs that they were fitted to.

    `vectors` and `decoded` `(n, d)` are embeddings of all photographs and what their codes decode to. None where there
    are too few photographs of a kind: such a bundle's service decides by the two thresholds.
    """
    examples = ask_everything(photos, vectors, decoded, gate, heads, seed)
    try:
        calibration = fit(examples, domains_of(photos, heads), made_of)
    except TrainingDataTooSmall:
        return None, {}
    return calibration, decision_figures(calibration, examples)


def ask_everything(
    photos: PhotoSet, vectors: Vectors, decoded: Vectors, gate: Gate, heads: Heads, seed: int
) -> list[Example]:
    """Return every question's evidence: both styles of catalogue, every source's held-out photographs, and strangers."""
    scores = np.round(255 * np.clip(gate.scores(vectors), 0, 1)) / 255
    asker = Asker(photos, vectors, decoded, scores.astype(np.float32), heads)
    parts = Parts.of(photos)
    catalogues = {
        "photographs": photos.where(kind="catalogue", role="train", studio=False),
        "packshots": photos.where(kind="catalogue", studio=True),
    }
    found: list[Example] = []
    for style, gallery in catalogues.items():
        held = {photos.photos[row].item for row in gallery.tolist()}
        for name, rows in parts.held.items():
            own = [row for row in rows.tolist() if photos.photos[row].labelled and photos.photos[row].item in held]
            known = np.array(own, np.int64)
            if len(known):
                found += asker.examples(known, gallery, "known", style, name)
                found += asker.with_classes_out(known, gallery, style, name, seed)
        if len(gallery):
            found += asker.examples(parts.outside_val, gallery, "far", style, "outside")
    return found


def domains_of(photos: PhotoSet, heads: Heads) -> dict[str, str]:
    """Return which source each category of the semantic head comes from: the domains whose probabilities are fitted.

    Of several with one category it is the recipe's first.
    """
    names: dict[str, str] = {}
    for photo in photos.photos:
        if photo.kind == "catalogue" and photo.labelled:
            names.setdefault(photo.coarse, photo.source)
    return {label: names[label] for label in heads.semantic.labels if label in names}


def decision_figures(calibration: Calibration, examples: list[Example]) -> dict[str, Figure]:
    """Return, by style and group, the shares that are denied and found, and how often the found are right."""
    found: dict[str, Figure] = {}
    for kind, style, group in dict.fromkeys((one.kind, one.style, one.group) for one in examples):
        own = [one for one in examples if (one.kind, one.style, one.group) == (kind, style, group)]
        denied, claimed = np.array([_said(calibration, one.evidence) for one in own]).T
        name, data = f"{kind}.{style}.{group}", f"{group} against {style} (set on it)"
        found[f"decision.denied.{name}"] = share_figure(denied, data)
        found[f"decision.found.{name}"] = share_figure(claimed, data)
        if kind == "known":
            right = np.array([one.right for one in own])
            found[f"decision.found_right.{name}"] = share_figure(right[claimed], data)
    return found


def _said(calibration: Calibration, evidence: Evidence) -> tuple[bool, bool]:
    """Return whether the item is denied, and whether it is called found."""
    model = calibration.model(evidence)
    assert model is not None  # of the examples that the models were fitted to
    probability = model.probability(evidence, calibration.domain(evidence))
    return probability < model.not_found_below, probability >= model.found_min


def _category(photo: Photo) -> str:
    return photo.coarse if photo.labelled else ""
