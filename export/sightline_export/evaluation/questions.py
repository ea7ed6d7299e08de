"""Who asks whom: the retrieval questions of a set of photographs, as rows and labels, for any pair of embeddings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sightline_export.data import PhotoSet
from sightline_export.evaluate import Floats
from sightline_export.figures import sources_of

Vectors = NDArray[np.float32]
Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Question:
    """Photographs `queries` `(n,)` ask the photographs `gallery` `(g,)`; right is a row with the same label.

    Every query has a right answer. `leave_self_out`: queries and gallery are the same rows, and none is its own answer.
    """

    name: str
    source: str
    queries: Rows
    gallery: Rows
    wanted: NDArray[np.str_]
    given: NDArray[np.str_]
    leave_self_out: bool = False


def questions(photos: PhotoSet, roles: tuple[str, ...] = ("test", "val")) -> list[Question]:
    """Return every question that `figures.retrieval_figures` measures, under the same names ("grocery.fine")."""
    found: list[Question | None] = []
    for source in sources_of(photos, "catalogue"):
        rows = next((rows for role in roles if len(rows := photos.where(source=source, role=role))), None)
        if rows is None:
            continue
        train = photos.where(source=source, role="train", studio=False)
        studio = photos.where(source=source, studio=True)
        seen = np.array([row for row in rows if not photos.photos[row].held_out], dtype=np.int64)
        found.append(_question(photos, source, f"{source}.fine", seen, train, "fine"))
        found.append(_question(photos, source, f"{source}.instance", seen, train, "instance"))
        found.append(_question(photos, source, f"{source}.studio", rows, studio, "fine"))
    for source in sources_of(photos, "outside"):
        rows = photos.where(source=source)
        found.append(_question(photos, source, f"{source}.all", rows, rows, "fine", leave_self_out=True))
    return [question for question in found if question is not None]


def main_questions(photos: PhotoSet) -> list[Question]:
    """Return one question for each catalogue source: its training photographs are asked, else its studio pictures."""
    first: dict[str, Question] = {}
    for question in questions(photos):
        if not question.leave_self_out and not question.name.endswith(".instance"):
            first.setdefault(question.source, question)
    return list(first.values())


def nearest(question: Question, queries: Vectors, gallery: Vectors) -> Rows:
    """Return for each query the place `(n,)` in the question's gallery of the nearest row, by inner product.

    `queries` and `gallery` hold one embedding for each photograph of the set: `(photographs, d) float32`.
    """
    scores = queries[question.queries] @ gallery[question.gallery].T
    if question.leave_self_out:
        np.fill_diagonal(scores, -np.inf)
    best: Rows = scores.argmax(axis=1)
    return best


def first_hits(question: Question, queries: Vectors, gallery: Vectors) -> Floats:
    """Return 1.0 for each query `(n,)` whose nearest gallery row carries its label."""
    right: Floats = (question.given[nearest(question, queries, gallery)] == question.wanted).astype(np.float64)
    return right


def _question(
    photos: PhotoSet, source: str, name: str, rows: Rows, among: Rows, label: str, *, leave_self_out: bool = False
) -> Question | None:
    given = [str(getattr(photos.photos[row], label)) for row in among]
    counts = {text: given.count(text) - int(leave_self_out) for text in set(given)}
    kept = [row for row in rows if counts.get(getattr(photos.photos[row], label), 0) > 0]
    kept = [row for row in kept if getattr(photos.photos[row], label)]
    if not kept or len(set(given)) < 2:
        return None
    if leave_self_out and len(kept) < len(rows):  # queries and gallery stay the same rows
        among = np.array(kept, dtype=np.int64)
        given = [str(getattr(photos.photos[row], label)) for row in among]
    wanted = [str(getattr(photos.photos[row], label)) for row in kept]
    return Question(
        name, source, np.array(kept, dtype=np.int64), among, np.array(wanted), np.array(given), leave_self_out
    )
