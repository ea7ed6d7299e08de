"""Old apps live for years: which generation of queries finds what in which generation of galleries?

Backward-compatible training (Shen et al., CVPR 2020) is kept when an old query finds as much in the new gallery as it
found in the old one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sightline_edge.runtimes import load_runtime
from sightline_edge.runtimes.base import DEFAULT_RUNTIME
from sightline_export.data import PhotoSet
from sightline_export.evaluate import Figure, mean_figure
from sightline_export.evaluation.questions import Question, Vectors, first_hits
from sightline_export.progress import Progress
from sightline_shared.bundle import Bundle

WAYS = ("old_to_old", "old_to_new", "new_to_new", "new_to_old")


def embed_with(bundle: Bundle, photos: PhotoSet, progress: Progress) -> Vectors:
    """Return the embeddings `(photographs, d) float32` that an earlier `bundle` gives, at its own input size."""
    runtime = load_runtime(DEFAULT_RUNTIME, bundle, threads=1)
    size = bundle.manifest.input_size
    own = size == photos.tensors.shape[1]
    rows = [
        runtime.embed((photos.tensors[row] if own else photos.pixels(row, size))[None])
        for row in progress.track(range(len(photos)), f"embedding with {bundle.label}")
    ]
    return np.concatenate(rows)


def generations(asked: Sequence[Question], old: Vectors, new: Vectors) -> dict[str, Figure]:
    """Return R@1 of every question for (query, gallery) of both generations, each `(photographs, d) float32`.

    Generations of different dimension cannot meet: then only the two ways within a generation are there.
    """
    pairs = {"old_to_old": (old, old), "new_to_new": (new, new)}
    if old.shape[1] == new.shape[1]:
        pairs |= {"old_to_new": (old, new), "new_to_old": (new, old)}
    return {
        f"generations.{question.name}.{way}": mean_figure(first_hits(question, *pairs[way]), question.name)
        for question in asked
        for way in WAYS
        if way in pairs
    }


def losses(asked: Sequence[Question], old: Vectors, new: Vectors) -> dict[str, Figure]:
    """Return for every question what the new bundle loses of R@1 against the old one, query by query, each at home.

    Negative is a gain. The interval is that of the paired difference, bootstrapped over queries.
    """
    return {
        f"regression.{question.name}.R@1": mean_figure(
            first_hits(question, old, old) - first_hits(question, new, new),
            f"{question.name}, paired with the old bundle",
        )
        for question in asked
    }
