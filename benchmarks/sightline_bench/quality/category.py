"""What the category as a soft signal brings: the semantic head filters coarsely, the embedding ranks finely."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline_bench.packs import Photo
from sightline_bench.quality.diversity import shown
from sightline_bench.quality.embeddings import Embedded
from sightline_bench.quality.measure import sent
from sightline_bench.quality.tasks import Suite, Task, relevance
from sightline_cloud.rank.categories import compatible
from sightline_edge.device import Device
from sightline_export.evaluate import Figure, average_precision_at, hits_at, mean_figure
from sightline_shared.evidence import FETCHED

Vectors = NDArray[np.float32]
Ranked = NDArray[np.int64]

# Bonuses in cosine units; the first is the ranking without any.
WEIGHTS = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2)
DEPTH = 10


def category(suite: Suite, embedded: dict[Path, Embedded], device: Device) -> dict[str, Any]:
    """Return, by task and bonus, R@1, mAP@10, the share of the ten that are of the right category, and what each recall gains.

    Tasks named "... (validation)" ask the photographs on which a bonus would be chosen. Nothing without a semantic head.
    """
    if device.heads is None:
        return {}
    tasks = [task for task in suite.tasks if task.label == "fine"]
    asked = {f"{task.name} (validation)": _validation(task, suite) for task in tasks} | {t.name: t for t in tasks}
    return {name: _row(task, suite, embedded, device) for name, task in asked.items() if task.queries}


def _validation(task: Task, suite: Suite) -> Task:
    """Return the task with the validation photographs of the domains that it asks about."""
    domains = {photo.domain for photo in task.queries}
    return Task(task.name, task.gallery, tuple(photo for photo in suite.validation if photo.domain in domains))


def _row(task: Task, suite: Suite, embedded: dict[Path, Embedded], device: Device) -> dict[str, dict[str, Figure]]:
    gallery = suite.galleries[task.gallery]
    right = relevance(task, gallery)
    answerable = right.any(axis=1)
    same = np.array([[one.coarse == photo.coarse for one in gallery] for photo in task.queries])
    rankings = {weight: ranked(task.queries, gallery, embedded, device, weight)[answerable] for weight in WEIGHTS}
    hits = {weight: np.take_along_axis(right[answerable], rows, axis=1) for weight, rows in rankings.items()}
    found: dict[str, dict[str, Figure]] = {}
    for weight, hit in hits.items():
        inside = np.take_along_axis(same[answerable], rankings[weight], axis=1)
        found[f"{weight:g}"] = {
            "R@1": mean_figure(hits_at(hit, 1)),
            "mAP@10": mean_figure(average_precision_at(hit, right[answerable].sum(axis=1), DEPTH)),
            "right category": mean_figure(inside.mean(axis=1)),
            **{f"R@{k} gained": mean_figure(hits_at(hit, k) - hits_at(hits[0.0], k)) for k in (1, 5, 10)},
        }
    return found


def ranked(
    queries: tuple[Photo, ...],
    gallery: tuple[Photo, ...],
    embedded: dict[Path, Embedded],
    device: Device,
    weight: float,
) -> Ranked:
    """Return the ten best gallery rows of each query `(n, 10)`: out of those fetched, by cosine plus the category's bonus."""
    assert device.heads is not None
    semantic = device.heads.semantic
    decoded = sent(np.stack([embedded[photo.path].int8 for photo in queries]), device)
    cosines = decoded @ np.stack([embedded[photo.path].int8 for photo in gallery]).T
    best = np.argsort(-cosines, axis=1, kind="stable")[:, :FETCHED]
    relevance_of = np.take_along_axis(cosines, best, axis=1).astype(np.float64)
    for place, probabilities in enumerate(semantic.probabilities(decoded)):
        fits = {gallery[row].coarse: 0.0 for row in best[place].tolist()}
        fits = {name: compatible(name, probabilities, semantic.labels) for name in fits}
        relevance_of[place] += weight * np.array([fits[gallery[row].coarse] for row in best[place].tolist()])
    order = np.argsort(-relevance_of, axis=1, kind="stable")[:, :DEPTH]
    rows: Ranked = np.take_along_axis(best, order, axis=1)
    return rows


def lines(result: dict[str, Any]) -> list[str]:
    """Return the table; no lines where nothing was measured."""
    if not result:
        return []
    names = ("R@1", "mAP@10", "right category", "R@1 gained", "R@5 gained", "R@10 gained")
    found = [
        "",
        f"| category as a soft signal | n | bonus | {' | '.join(names)} |",
        "|---|---|---|" + "---|" * len(names),
    ]
    for task, rows in result.items():
        for weight, row in rows.items():
            cells = " | ".join(shown(row[name], 100) for name in names)
            found.append(f"| {task} | {row['R@1']['n']} | {weight} | {cells} |")
    return found
