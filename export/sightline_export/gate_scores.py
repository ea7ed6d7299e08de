"""Candidates for the gate's score, fitted to a catalogue: prototypes, class weights, class means.

Every candidate is fitted source by source or class by class with zero offsets; `calibrate` adds the offsets and chooses
by validation. Rows are rounded to float16 here, since the gate file holds float16: what is calibrated is what ships.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sightline_edge.ood import OodScore
from sightline_export.recipe import Gate
from sightline_export.train_codec import kmeans

Vectors = NDArray[np.float32]

NEIGHBOURS = (3, 8)
TEMPERATURES = (1.0,)
SCALE_SHARES = (0.15, 0.35)
SHRINKAGES = (0.1, 0.3)


@dataclass(frozen=True, eq=False)
class Candidate:
    """A score without offsets, and the number of each row's source in `sources`."""

    name: str
    score: OodScore
    sources: tuple[str, ...]
    row_source: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Catalogue:
    """What a gate is fitted to: embeddings by source, and each one's class ("" where it is not known)."""

    vectors: Mapping[str, Vectors]
    classes: Mapping[str, Sequence[str]]

    @classmethod
    def unlabelled(cls, vectors: Mapping[str, Vectors]) -> Catalogue:
        return cls(vectors, {name: [""] * len(rows) for name, rows in vectors.items()})

    def labelled(self) -> tuple[Vectors, list[tuple[str, str]]]:
        """Return the embeddings with a known class and their (source, class)."""
        pairs = [
            (name, row, label)
            for name, labels in self.classes.items()
            for row, label in enumerate(labels)
            if label and len(self.vectors[name])
        ]
        if not pairs:
            return np.empty((0, 0), np.float32), []
        rows = np.stack([self.vectors[name][row] for name, row, _ in pairs])
        return rows, [(name, label) for name, _, label in pairs]


def candidates(catalogue: Catalogue, settings: Gate, seed: int) -> list[Candidate]:
    """Return every candidate of `settings.scores` that the catalogue allows; without two classes, the cosine at least."""
    vectors, labels = catalogue.labelled()
    unlabelled = len(set(labels)) < 2
    found: list[Candidate] = []
    if unlabelled or {"cosine", "knn"} & set(settings.scores):
        centres = prototypes(catalogue, settings.prototypes, seed)
        found += [centres] if "cosine" in settings.scores or "knn" not in settings.scores else []
        found += [_as(centres, "knn", float(count)) for count in NEIGHBOURS if "knn" in settings.scores]
    if unlabelled:
        return found
    if {"max_logit", "energy", "scale"} & set(settings.scores):
        weights = class_weights(catalogue, vectors, labels, seed)
        found += [_as(weights, "max_logit", 1.0)] if "max_logit" in settings.scores else []
        found += [_as(weights, "energy", value) for value in TEMPERATURES if "energy" in settings.scores]
        found += [_as(weights, "scale", value) for value in SCALE_SHARES if "scale" in settings.scores]
    if "mahalanobis" in settings.scores:
        found += [class_means(catalogue, vectors, labels, shrinkage) for shrinkage in SHRINKAGES]
    return found


def prototypes(catalogue: Catalogue, count: int, seed: int) -> Candidate:
    """Return the cosine score; a source gets prototypes by the root of its size."""
    names = [name for name, vectors in catalogue.vectors.items() if len(vectors)]
    roots = {name: float(np.sqrt(len(catalogue.vectors[name]))) for name in names}
    parts = [
        source_prototypes(catalogue.vectors[name], round(count * roots[name] / sum(roots.values())), seed)
        for name in names
    ]
    numbers = np.repeat(np.arange(len(names)), [len(part) for part in parts])
    return _candidate("cosine", np.concatenate(parts), tuple(names), numbers)


def source_prototypes(gallery: Vectors, count: int, seed: int) -> Vectors:
    """Return at most `count` prototypes `(p, d) float32` of length 1, one for two pictures at most, as float16."""
    wanted = min(max(1, count), max(1, len(gallery) // 2))
    centres = kmeans(gallery, wanted, 30, seed, spherical=True)
    centres /= np.maximum(np.linalg.norm(centres, axis=1, keepdims=True), 1e-9)
    return half(centres)


def class_weights(catalogue: Catalogue, vectors: Vectors, labels: Sequence[tuple[str, str]], seed: int) -> Candidate:
    """Return the logits of a linear softmax classifier over all classes, biases in the offsets."""
    from sightline_export.linear import fit_softmax  # torch, which the demo's gate does without

    classes = sorted(set(labels))
    numbers = {pair: number for number, pair in enumerate(classes)}
    weights, biases = fit_softmax(vectors, np.array([numbers[pair] for pair in labels]), len(classes), seed=seed)
    names = tuple(name for name in catalogue.vectors if any(pair[0] == name for pair in classes))
    sources = np.array([names.index(pair[0]) for pair in classes])
    return _candidate("max_logit", half(weights), names, sources, offsets=-biases)


def class_means(
    catalogue: Catalogue, vectors: Vectors, labels: Sequence[tuple[str, str]], shrinkage: float
) -> Candidate:
    """Return minus the squared Mahalanobis distance to the nearest class mean, covariance shared and shrunk.

    `shrinkage` is the share of a multiple of the identity with the same trace.
    """
    classes = sorted(set(labels))
    numbers = {pair: number for number, pair in enumerate(classes)}
    order = np.array([numbers[pair] for pair in labels])
    means = np.stack([vectors[order == number].mean(axis=0, dtype=np.float64) for number in range(len(classes))])
    centred = vectors.astype(np.float64) - means[order]
    covariance = centred.T @ centred / len(centred)
    trace = float(np.trace(covariance)) / len(covariance)
    covariance = (1 - shrinkage) * covariance + shrinkage * max(trace, 1e-9) * np.eye(len(covariance))
    values, axes = np.linalg.eigh(covariance)
    # Scaled by 1/d: squared distances stay of the order of 1, and float16 holds them.
    whitening = half(axes @ np.diag(1 / np.sqrt(values * len(values))) @ axes.T)
    names = tuple(name for name in catalogue.vectors if any(pair[0] == name for pair in classes))
    sources = np.array([names.index(pair[0]) for pair in classes])
    rows = half(means.astype(np.float32) @ whitening.T)
    return _candidate(f"mahalanobis shrunk {shrinkage:g}", rows, names, sources, whitening=whitening)


def half(values: NDArray[np.floating]) -> Vectors:
    """Return `values` as float16 holds them, in float32."""
    return values.astype(np.float16).astype(np.float32)


def _candidate(
    name: str,
    rows: Vectors,
    sources: tuple[str, ...],
    row_source: NDArray[np.int64],
    *,
    offsets: Vectors | None = None,
    whitening: Vectors | None = None,
) -> Candidate:
    own = np.zeros(len(rows), np.float32) if offsets is None else offsets
    score = OodScore(name.split()[0], rows, own, 1.0, whitening)
    return Candidate(name, score, sources, row_source)


def _as(candidate: Candidate, kind: str, parameter: float) -> Candidate:
    score = OodScore(kind, candidate.score.rows, candidate.score.offsets, parameter)
    return Candidate(f"{kind} {parameter:g}", score, candidate.sources, candidate.row_source)
