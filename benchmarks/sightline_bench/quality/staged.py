"""The service's ranking stages over an exact search, as a query of the service meets them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sightline_bench.packs import Photo
from sightline_bench.quality.embeddings import Embedded
from sightline_bench.quality.measure import Ranked, Vectors, rank
from sightline_cloud.rank.candidate import Candidate
from sightline_cloud.rank.categories import compatible
from sightline_cloud.rank.context import Compatibility, Context
from sightline_cloud.rank.stages import Ranking, Stage
from sightline_edge.device import Device
from sightline_shared.budget import Budget

PLACES = 10


@dataclass(frozen=True, eq=False)
class Found:
    """Each query's nearest gallery rows `(n, m) int64`, best first, and their cosines; what the stages need besides.

    `codes` and `categories` are by gallery row, `probabilities` `(n, c)` are the semantic head's over `labels`.
    """

    rows: Ranked
    cosines: Vectors
    codes: list[bytes]
    categories: list[str]
    probabilities: Vectors
    labels: tuple[str, ...]


def search(
    queries: Vectors, photos: Sequence[Photo], gallery: Vectors, device: Device, depth: int = 2 * PLACES
) -> Found:
    """Return an exact search of `queries`, decoded, over `gallery`, the vectors of `photos`, all of unit length.

    An item's category is its photograph's coarse class, as an operator would enter it.
    """
    rows = rank(queries, gallery, depth)
    cosines = np.take_along_axis(queries @ gallery.T, rows, axis=1)
    codes = [code.tobytes() for code in device.codec.encode(gallery)]
    categories = [photo.coarse for photo in photos]
    if device.heads is None:
        return Found(rows, cosines, codes, categories, np.zeros((len(queries), 0), np.float32), ())
    semantic = device.heads.semantic
    return Found(rows, cosines, codes, categories, semantic.probabilities(queries), semantic.labels)


def answered(found: Found, device: Device, stages: Sequence[Stage]) -> Ranked:
    """Return the gallery rows `(n, PLACES)` that the stages make of them; -1 for a place that nothing fills."""
    ranking = Ranking(stages)
    rows = np.full((len(found.rows), PLACES), -1, np.int64)
    for place in range(len(rows)):
        candidates = candidates_of(found, place, ranking.fetch(PLACES))
        context = Context(candidates, PLACES, device.codec, compatibility=compatibility_of(found, place))
        ranked = ranking.run(candidates, context, Budget()).candidates
        rows[place, : len(ranked)] = [candidate.pk for candidate in ranked]
    return rows


def compatibility_of(found: Found, place: int) -> Compatibility:
    """Return how well a candidate's category fits what query `place` shows, as the service has it."""
    shares = found.probabilities[place]
    return lambda one: compatible(one.metadata["category"], shares, found.labels)


def candidates_of(found: Found, place: int, count: int) -> list[Candidate]:
    """Return the first `count` candidates of query `place`."""
    nearest, cosines = found.rows[place, :count].tolist(), found.cosines[place, :count].tolist()
    return [
        Candidate(row, "", cosine, 0, {"category": found.categories[row]}, found.codes[row])
        for row, cosine in zip(nearest, cosines, strict=True)
    ]


def vectors_of(photos: tuple[Photo, ...], embedded: dict[Path, Embedded]) -> Vectors:
    """Return the int8 embeddings rounded to float16, as the index stores them."""
    return np.stack([embedded[photo.path].int8 for photo in photos]).astype(np.float16).astype(np.float32)
