"""How much of the first hits is left when the camera does badly: eight corruptions, three strengths."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sightline_export.data import PhotoSet
from sightline_export.evaluate import Figure, Floats, mean_figure, statistic_figure
from sightline_export.evaluation.corruptions import CORRUPTIONS, STRENGTHS, corrupt
from sightline_export.evaluation.questions import Question, Rows, Vectors, main_questions
from sightline_export.progress import Progress
from sightline_shared.preprocess import to_tensor

Embed = Callable[[NDArray[np.uint8]], Vectors]
LEAST = 20


@dataclass(frozen=True, eq=False)
class Sample:
    """Some queries of one question: `places` `(m,)` among its queries."""

    question: Question
    places: Rows


def draw(photos: PhotoSet, count: int, seed: int) -> list[Sample]:
    """Return `count` random queries in all, shared among the catalogue's sources by size, 20 a source at least."""
    asked = main_questions(photos)
    total = sum(len(question.queries) for question in asked)
    rng = np.random.default_rng(seed)
    samples = []
    for question in asked:
        size = len(question.queries)
        wanted = min(size, max(LEAST, round(count * size / total)))
        samples.append(Sample(question, np.sort(rng.permutation(size)[:wanted])))
    return samples


def robustness(
    photos: PhotoSet, vectors: Vectors, samples: Sequence[Sample], embed: Embed, seed: int, progress: Progress
) -> dict[str, Figure]:
    """Return the share of R@1 that is kept under every corruption and strength, and the mean over all of them.

    `vectors` `(photographs, d)` are the clean embeddings: they give the galleries and the clean R@1; `embed` turns one
    model input `(s, s, 3) uint8` into `(1, d)`. A photograph is corrupted before the pixel specification is applied to
    it. Intervals: bootstrap over queries, clean and corrupted hits of a query drawn together.
    """
    cells = [(name, strength) for name in CORRUPTIONS for strength in STRENGTHS]
    size = int(photos.tensors.shape[1])
    hits: list[Floats] = []
    with progress.bar(sum(len(sample.places) for sample in samples), "camera robustness") as advance:
        for sample in samples:
            gallery = vectors[sample.question.gallery]
            for place in sample.places.tolist():
                row = int(sample.question.queries[place])
                views = [embed(view) for view in _views(photos.images[row], size, cells, seed + row)]
                found = np.concatenate([vectors[row : row + 1], *views]) @ gallery.T
                hits.append(
                    (sample.question.given[found.argmax(axis=1)] == sample.question.wanted[place]).astype(np.float64)
                )
                advance(1, "")
    return _figures(np.stack(hits), cells, samples)


def _views(image: Image.Image, size: int, cells: Sequence[tuple[str, int]], seed: int) -> list[NDArray[np.uint8]]:
    pixels = np.asarray(image, dtype=np.uint8)
    return [to_tensor(Image.fromarray(corrupt(pixels, name, strength, seed)), size) for name, strength in cells]


def _figures(hits: Floats, cells: Sequence[tuple[str, int]], samples: Sequence[Sample]) -> dict[str, Figure]:
    """Turn `hits` `(queries, 1 + cells)`, the clean column first, into figures."""
    sizes = ", ".join(f"{len(sample.places)} {sample.question.name}" for sample in samples)
    data = f"random queries: {sizes}"
    figures = {"robustness.clean_R@1": mean_figure(hits[:, 0], data)}
    for column, (name, strength) in enumerate(cells, start=1):
        figures[f"robustness.{name}.{strength}"] = statistic_figure(hits[:, [0, column]], kept, data)
    figures["robustness.mean"] = statistic_figure(hits, kept, f"mean of {len(cells)}; {data}")
    start = 0
    for sample in samples:
        rows = hits[start : start + len(sample.places)]
        start += len(rows)
        figures[f"robustness.mean.{sample.question.name}"] = statistic_figure(rows, kept, sample.question.name)
    return figures


def kept(hits: Floats) -> float:
    """Return the mean of the columns 1.. of `hits` `(n, columns)` as a share of column 0; 0 where that has no hit."""
    clean = hits[:, 0].mean()
    return float(hits[:, 1:].mean() / clean) if clean else 0.0
