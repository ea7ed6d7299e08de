"""The service's ranking on photographs: categories, diversity against relevance, and near-duplicates of what is there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline_bench.packs import Photo
from sightline_bench.quality.embeddings import Embedded
from sightline_bench.quality.measure import Ranked, Vectors, sent
from sightline_bench.quality.staged import PLACES, answered, search, vectors_of
from sightline_bench.quality.tasks import Suite, Task, relevance
from sightline_cloud.rank.diversity import WEIGHT as MMR
from sightline_cloud.rank.diversity import Diversity
from sightline_cloud.rank.duplicates import MIN_COSINE, Duplicates
from sightline_cloud.rank.metadata import Metadata, Weights
from sightline_cloud.rank.stages import Stage
from sightline_cloud.settings import Settings
from sightline_edge.device import Device
from sightline_export.evaluate import Figure, average_precision_at, hits_at, mean_figure

PLAIN, DEFAULT = "by cosine alone", "the default: category, near-duplicates"
WEIGHTS = (0.95, 0.9, 0.8, 0.7, 0.5)
CLUSTERS = (0.9, 0.85, 0.8)
THRESHOLDS = (0.9, 0.93, 0.95, 0.96, MIN_COSINE, 0.98)
NO_GROUPS = ""
RELEVANCE = ("R@1", "R@5", "R@10", "mAP@10")


def diversity(suite: Suite, embedded: dict[Path, Embedded], device: Device) -> dict[str, Any]:
    """Return "ranking", by task and variant of the stages, and "duplicates", by threshold (empty without copies)."""
    return {
        "ranking": {task.name: _by_variant(task, suite, embedded, device) for task in suite.tasks},
        "duplicates": _by_threshold(suite, embedded, device) if suite.copies else {},
    }


def variants() -> dict[str, tuple[Stage, ...]]:
    """Return the stages that are compared; one representative a cluster is the collapse at a lower cosine."""
    weight = Settings().category_weight
    category, collapse = Metadata(Weights(category=weight)), Duplicates(MIN_COSINE, NO_GROUPS)
    return {
        PLAIN: (),
        f"category {weight:g}": (category,),
        f"near-duplicates from {MIN_COSINE:g}": (collapse,),
        DEFAULT: (category, collapse),
        f"the default and MMR {MMR:g}": (category, collapse, Diversity(MMR)),
        **{f"MMR {weight:g}": (Diversity(weight),) for weight in WEIGHTS},
        **{f"one a cluster of {cosine:g}": (Duplicates(cosine, NO_GROUPS),) for cosine in CLUSTERS},
    }


def _by_variant(
    task: Task, suite: Suite, embedded: dict[Path, Embedded], device: Device
) -> dict[str, dict[str, Figure]]:
    """Return R@1, what is gained over the plain order (each query with itself), and how varied the answers are.

    "same category" is the share of the answer that has the query's coarse class.
    """
    photos = suite.galleries[task.gallery]
    right = relevance(task, photos)
    usable = np.flatnonzero(right.any(axis=1))
    asked = tuple(task.queries[row] for row in usable.tolist())
    gallery = vectors_of(photos, embedded)
    found = search(sent(vectors_of(asked, embedded), device), photos, gallery, device)
    classes, wanted = _classes(photos), [photo.coarse for photo in asked]
    table: dict[str, dict[str, Figure]] = {}
    plain: dict[str, NDArray[np.float64]] = {}
    for name, stages in variants().items():
        rows = answered(found, device, stages)
        values = _relevant(rows, right[usable])
        plain = plain or values
        table[name] = {
            "R@1": mean_figure(values["R@1"]),
            **{f"{what} gained": mean_figure(values[what] - plain[what]) for what in RELEVANCE},
            "same category": mean_figure(
                np.array([_share(found.categories, *pair) for pair in zip(rows, wanted, strict=True)])
            ),
            "classes": mean_figure(np.array([len(set(classes[row[row >= 0]])) for row in rows], np.float64)),
            "likeness": mean_figure(np.array([likeness(gallery[row[row >= 0]]) for row in rows])),
            "places filled": mean_figure((rows >= 0).sum(axis=1).astype(np.float64)),
        }
    return table


def _relevant(rows: Ranked, right: NDArray[np.bool_]) -> dict[str, NDArray[np.float64]]:
    hit = np.take_along_axis(right, np.maximum(rows, 0), axis=1) & (rows >= 0)
    return {
        **{f"R@{k}": hits_at(hit, k) for k in (1, 5, 10)},
        "mAP@10": average_precision_at(hit, right.sum(axis=1), 10),
    }


def _share(categories: list[str], row: NDArray[np.int64], wanted: str) -> float:
    return float(np.mean([categories[item] == wanted for item in row[row >= 0]]))


def likeness(vectors: Vectors) -> float:
    """Return the mean cosine between two different rows of `vectors` `(n, d)`, of unit length; 0 for fewer than two."""
    count = len(vectors)
    return float(((vectors @ vectors.T).sum() - count) / (count * (count - 1))) if count > 1 else 0.0


def _by_threshold(suite: Suite, embedded: dict[Path, Embedded], device: Device) -> dict[str, dict[str, Figure]]:
    """Return what the collapse does, by its cosine, when every copy stands beside its original in the gallery.

    "caught": copies that count as their original. "places lost": of the first ten, to copies beside their original, in
    the queries whose plain answer has any, before and after. "other class": pairs of gallery photographs of two classes
    that count as one, and "garments": pairs of clothing, where every photograph is of a garment of its own, but for few.
    """
    originals, copies = (tuple(photos) for photos in zip(*suite.copies, strict=True))
    photos = tuple(dict.fromkeys((*next(iter(suite.galleries.values())), *originals, *copies)))
    gallery = vectors_of(photos, embedded)
    row_of = {photo: row for row, photo in enumerate(photos)}
    pairs = np.array([[row_of[one], row_of[copy]] for one, copy in suite.copies])
    decoded = sent(gallery, device)
    caught = np.einsum("ij,ij->i", decoded[pairs[:, 0]], decoded[pairs[:, 1]])
    asked = tuple(dict.fromkeys(photo for task in suite.tasks for photo in task.queries))
    found = search(sent(vectors_of(asked, embedded), device), photos, gallery, device)
    before = _lost(answered(found, device, ()), pairs)
    apart = _false_pairs([photo for photo in photos if photo not in set(copies)], embedded, device)
    table: dict[str, dict[str, Figure]] = {}
    for cosine in THRESHOLDS:
        after = _lost(answered(found, device, (Duplicates(cosine, NO_GROUPS),)), pairs)
        table[f"{cosine:g}"] = {
            "caught": mean_figure((caught >= cosine).astype(np.float64)),
            "places lost before": mean_figure(before[before > 0]),
            "places lost after": mean_figure(after[before > 0]),
            **{
                what: Figure(float((values >= cosine).sum()), None, len(values), "pairs")
                for what, values in apart.items()
            },
        }
    return table


def _lost(rows: Ranked, pairs: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return how many `pairs` `(p, 2)` of gallery rows have both members in each answer."""
    there = (rows[:, :, None, None] == pairs[None, None]).any(axis=1)
    lost: NDArray[np.float64] = there.all(axis=2).sum(axis=1).astype(np.float64)
    return lost


def _false_pairs(photos: list[Photo], embedded: dict[Path, Embedded], device: Device) -> dict[str, Vectors]:
    """Return the cosines, by code, of all pairs of two classes, and of all pairs of clothing."""
    decoded = sent(vectors_of(tuple(photos), embedded), device)
    first, second = np.triu_indices(len(photos), 1)
    cosines = (decoded @ decoded.T)[first, second]
    classes = _classes(photos)
    worn = np.array([photo.domain == "clothing" for photo in photos])
    return {
        "other class": cosines[classes[first] != classes[second]],
        "garments": cosines[worn[first] & worn[second]],
    }


def _classes(photos: Sequence[Photo]) -> NDArray[np.int64]:
    """Return a number for each photograph's domain and fine class."""
    numbers: NDArray[np.int64] = np.unique([f"{photo.domain}/{photo.fine}" for photo in photos], return_inverse=True)[1]
    return numbers


def lines(result: dict[str, Any]) -> list[str]:
    """Return both tables, of figures that went through JSON; gains in points, likeness as a mean cosine."""
    shares = ("R@1", *(f"{what} gained" for what in RELEVANCE), "same category")
    columns = (*shares, "classes", "likeness", "places filled")
    text = [
        "",
        f"| task | n | first {PLACES} ranked | {' | '.join(columns)} |",
        "|---|---|---|" + "---|" * len(columns),
    ]
    for task, table in result["ranking"].items():
        for variant, row in table.items():
            cells = [shown(row[name], 100) for name in shares]
            cells += [shown(row["classes"], 1), shown(row["likeness"], 1, 3), shown(row["places filled"], 1)]
            text.append(f"| {task} | {row['R@1']['n']} | {variant} | {' | '.join(cells)} |")
    if result["duplicates"]:
        text += [
            "",
            "| near-duplicates from cosine | n | caught | n | places lost | after | pairs of other classes | of garments |",
            "|---|---|---|---|---|---|---|---|",
        ]
    for cosine, row in result["duplicates"].items():
        lost, after = row["places lost before"], row["places lost after"]
        cells = [str(row["caught"]["n"]), shown(row["caught"], 100)]
        cells += [str(lost["n"]), shown(lost, 1, 2), shown(after, 1, 2)]
        cells += [f"{row[name]['value']:.0f} of {row[name]['n']}" for name in ("other class", "garments")]
        text.append(f"| {cosine} | {' | '.join(cells)} |")
    return text


def shown(entry: dict[str, Any], times: float, digits: int = 1) -> str:
    if not entry["n"]:
        return "-"
    low, high = entry["interval"]
    return f"{times * entry['value']:.{digits}f} [{times * low:.{digits}f}, {times * high:.{digits}f}]"
