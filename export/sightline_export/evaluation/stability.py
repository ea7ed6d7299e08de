"""Does the same thing, seen a little differently, stay the same? Measured without any label."""

from __future__ import annotations

import numpy as np

from sightline_export.augment import augment
from sightline_export.data import PhotoSet
from sightline_export.evaluate import Figure, mean_figure, top_rows
from sightline_export.evaluation.questions import Rows, Vectors
from sightline_export.evaluation.robustness import Embed
from sightline_export.recipe import Strength

VIEWS = 4
NEIGHBOURS = 10


def stability(
    photos: PhotoSet, vectors: Vectors, rows: Rows, gallery: Rows, embed: Embed, seed: int
) -> dict[str, Figure]:
    """Compare the photographs `rows` with four augmented views of each: cosine, and what they find in `gallery`.

    `stability.top1` is the share of views whose nearest gallery photograph is the photograph's own nearest one,
    `stability.top10` how much of its ten nearest they share. A photograph that stands in the gallery is left out of
    its own lists. Intervals: bootstrap over photographs.
    """
    size = int(photos.tensors.shape[1])
    rng = np.random.default_rng(seed)
    columns = np.empty((len(rows), 3), dtype=np.float64)
    for place, row in enumerate(rows.tolist()):
        views = np.concatenate([embed(augment(photos.images[row], size, rng, Strength())) for _ in range(VIEWS)])
        others = vectors[gallery[gallery != row]]
        depth = min(NEIGHBOURS, len(others))
        lists = top_rows(np.concatenate([vectors[row : row + 1], views]), others, depth)
        shared = [len(set(lists[0].tolist()) & set(found.tolist())) / depth for found in lists[1:]]
        columns[place] = (views @ vectors[row]).mean(), (lists[1:, 0] == lists[0, 0]).mean(), np.mean(shared)
    data = f"{len(rows)} photographs, {VIEWS} augmented views each, gallery of {len(gallery)}"
    names = ("stability.cosine", "stability.top1", "stability.top10")
    return {name: mean_figure(columns[:, index], data) for index, name in enumerate(names)}
