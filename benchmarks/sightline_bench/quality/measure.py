"""The figures: each task in each variant, and how well strangers are told apart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline_bench.packs import Photo
from sightline_bench.quality.embeddings import Embedded
from sightline_bench.quality.tasks import Suite, Task, relevance
from sightline_edge.device import Device
from sightline_edge.rerank import unit
from sightline_export.evaluate import (
    Figure,
    auroc,
    average_precision_at,
    fpr_at_tpr,
    hits_at,
    mean_figure,
    two_sample_figure,
)
from sightline_shared.protocol import DEFAULT_K

Vectors = NDArray[np.float32]
Ranked = NDArray[np.int64]
DEPTH = DEFAULT_K


def rank(queries: Vectors, gallery: Vectors, depth: int = DEPTH) -> Ranked:
    """Return the `depth` best gallery rows of each query by exact cosine: `(n, depth) int64`."""
    return np.argsort(-(queries @ gallery.T), axis=1, kind="stable")[:, :depth]


def retrieval(task: Task, gallery: tuple[Photo, ...], ranked: Ranked) -> dict[str, Figure]:
    """Return R@1, R@5, R@10 and mAP@10; -1 in `ranked` marks a place that no item fills."""
    right = relevance(task, gallery)
    answerable = right.any(axis=1)
    right, ranked = right[answerable], ranked[answerable]
    hit = np.take_along_axis(right, np.maximum(ranked, 0), axis=1) & (ranked >= 0)
    totals = right.sum(axis=1)
    return {
        "R@1": mean_figure(hits_at(hit, 1)),
        "R@5": mean_figure(hits_at(hit, 5)),
        "R@10": mean_figure(hits_at(hit, 10)),
        "mAP@10": mean_figure(average_precision_at(hit, totals, 10)),
    }


def variants(
    suite: Suite, embedded: dict[Path, Embedded], device: Device, answered: dict[str, Ranked]
) -> dict[str, dict[str, dict[str, Figure]]]:
    """Return task -> variant -> figure: "float" (when embedded), "int8", "int8 + code" and "whole path".

    The first three are exact searches, each over a gallery of the same student; the code is decoded and searched
    against float vectors. "whole path" is `answered`: what the real client returned from the real service, re-ranked.
    """
    tables: dict[str, dict[str, dict[str, Figure]]] = {}
    for task in suite.tasks:
        gallery = suite.galleries[task.gallery]
        queries8, gallery8 = _int8(task.queries, embedded), _int8(gallery, embedded)
        ranked = {
            "int8": rank(queries8, gallery8),
            f"int8 + {device.codec.code_size}-byte code": rank(sent(queries8, device), gallery8),
            "whole path": answered[task.name],
        }
        full = _float(task.queries, embedded), _float(gallery, embedded)
        if full[0] is not None and full[1] is not None:
            ranked = {"float": rank(full[0], full[1]), **ranked}
        tables[task.name] = {name: retrieval(task, gallery, rows) for name, rows in ranked.items()}
    return tables


def sent(queries: Vectors, device: Device) -> Vectors:
    """Return what the service makes of the codes of `queries` `(n, d)`: decoded, unit length."""
    return unit(device.codec.decode(device.codec.encode(queries)))


def overlap(suite: Suite, embedded: dict[Path, Embedded], device: Device) -> dict[str, dict[str, Figure]]:
    """Return, by task, how much of the int8 query's exact top 10 its code finds among its own top 10 and top 20."""
    found: dict[str, dict[str, Figure]] = {}
    for task in suite.tasks:
        queries, gallery = _int8(task.queries, embedded), _int8(suite.galleries[task.gallery], embedded)
        exact, coded = rank(queries, gallery, 10), rank(sent(queries, device), gallery, 20)
        shares = {
            name: np.array([len(np.intersect1d(a, b[:depth])) / 10 for a, b in zip(exact, coded, strict=True)])
            for name, depth in (("in top 10", 10), ("in top 20", 20))
        }
        found[task.name] = {name: mean_figure(values) for name, values in shares.items()}
    return found


def strangers(suite: Suite, embedded: dict[Path, Embedded], device: Device) -> dict[str, Any]:
    """Return how well the gate's score and the distance to the gallery tell answerable queries from strangers.

    Beside each: the share of the catalogue's own studio pictures that the same threshold turns away, since much of
    what looks like "unknown" is photographic style.
    """
    asked = list(dict.fromkeys(photo for task in suite.tasks for photo in task.queries))
    gallery = _int8(next(iter(suite.galleries.values())), embedded)
    studio = suite.galleries.get("studio")
    scores: dict[str, Callable[[tuple[Photo, ...]], NDArray[np.float64]]] = {
        "gate": lambda photos: device.gate.scores(_int8(photos, embedded)).astype(np.float64),
        "distance": lambda photos: (sent(_int8(photos, embedded), device) @ gallery.T).max(axis=1).astype(np.float64),
    }
    result: dict[str, Any] = {}
    for name, score in scores.items():
        inside, outside = score(tuple(asked)), score(suite.strangers)
        row: dict[str, Any] = {
            "AUROC": two_sample_figure(inside, outside, auroc),
            "FPR95": two_sample_figure(inside, outside, fpr_at_tpr),
        }
        kinds = sorted({photo.coarse for photo in suite.strangers})
        for kind in kinds if len(kinds) > 1 else ():
            chosen = np.array([photo.coarse == kind for photo in suite.strangers])
            row[f"AUROC {kind}"] = two_sample_figure(inside, outside[chosen], auroc)
        if studio:
            away = (score(studio) < np.quantile(inside, 0.05)).astype(np.float64)
            row["studio pictures turned away at 95 % kept"] = mean_figure(away)
        result[name] = row
    return result


def _int8(photos: tuple[Photo, ...], embedded: dict[Path, Embedded]) -> Vectors:
    return np.stack([embedded[photo.path].int8 for photo in photos])


def _float(photos: tuple[Photo, ...], embedded: dict[Path, Embedded]) -> Vectors | None:
    rows = [embedded[photo.path].float32 for photo in photos]
    return None if any(row is None for row in rows) else np.stack([row for row in rows if row is not None])
