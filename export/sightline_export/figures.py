"""The figures of a bundle: which photographs ask which gallery, for one pair of embeddings."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sightline_export.data import PhotoSet
from sightline_export.evaluate import Figure, overlap, retrieval, top_rows
from sightline_export.teacher import normalise
from sightline_shared.codec import Codec

Vectors = NDArray[np.float32]


def sources_of(photos: PhotoSet, kind: str) -> list[str]:
    """Return the names of the sources of a kind, in the recipe's order."""
    return list(dict.fromkeys(photo.source for photo in photos.photos if photo.kind == kind))


def retrieval_figures(
    photos: PhotoSet, queries: Vectors, gallery: Vectors, *, roles: tuple[str, ...] = ("test", "val")
) -> dict[str, Figure]:
    """Return the retrieval figures of every source; row i of both `(n, d)` arrays is photograph i.

    A catalogue source's queries are its photographs in the first of `roles` that it has. They ask the training
    photographs ("NAME.fine", "NAME.instance" where the manifest names instances) and the studio pictures
    ("NAME.studio"). Test photographs of classes left out of training ask the photographs of all classes ("NAME.unseen").
    Sources from outside are asked leave-one-out, over all their photographs and over the classes that
    training never saw.
    """
    figures: dict[str, Figure] = {}
    for source in sources_of(photos, "catalogue"):
        rows, role = _queries(photos, source, roles)
        train = photos.where(source=source, role="train", studio=False)
        studio = photos.where(source=source, studio=True)
        seen = np.array([row for row in rows if not photos.photos[row].held_out], dtype=np.int64)
        if len(seen) and len(train):
            data = f"{source} {role} -> train"
            figures |= _ask(photos, queries, gallery, seen, train, "fine", f"{source}.fine", data)
            figures |= _ask(photos, queries, gallery, seen, train, "instance", f"{source}.instance", data)
        unseen = photos.where(source=source, role="test", studio=False, held_out=True)
        known = np.union1d(train, photos.where(source=source, role="val", studio=False, held_out=True))
        if len(unseen) and len(known):
            data = f"{source} test, classes left out of training -> train photographs of all classes"
            figures |= _ask(photos, queries, gallery, unseen, known, "fine", f"{source}.unseen", data)
        if len(rows) and len(studio):
            figures |= _ask(
                photos,
                queries,
                gallery,
                rows,
                studio,
                "fine",
                f"{source}.studio",
                f"{source} {role} -> studio pictures",
            )
    for source in sources_of(photos, "outside"):
        everything = photos.where(source=source)
        unseen = photos.where(source=source, held_out=True)
        for name, rows in (("all", everything), ("unseen", unseen)):
            figures |= _leave_one_out(photos, queries, gallery, rows, f"{source}.{name}")
    return figures


def decoded_vectors(vectors: Vectors, codec: Codec) -> Vectors:
    """Return what the service sees of `vectors` `(n, d)`: encoded, decoded, at length 1."""
    return normalise(codec.decode(codec.encode(vectors)))


def code_figures(photos: PhotoSet, vectors: Vectors, codec: Codec) -> dict[str, Figure]:
    """Return how well the decoded code stands for the float query: what it keeps of the top ten."""
    figures: dict[str, Figure] = {}
    decoded = decoded_vectors(vectors, codec)
    for source in sources_of(photos, "catalogue"):
        rows, role = _queries(photos, source, ("test", "val"))
        train = np.union1d(photos.where(source=source, role="train"), photos.where(source=source, studio=True))
        if not len(rows) or len(train) < 20:
            continue
        data = f"{source} {role} -> train and studio"
        truth = top_rows(vectors[rows], vectors[train], 10)
        by_code = top_rows(decoded[rows], vectors[train], 20)
        figures[f"code.{source}.overlap@10"] = overlap(truth, by_code[:, :10], data)
        figures[f"code.{source}.top10_in_20"] = overlap(truth, by_code, data)
    for source in sources_of(photos, "outside"):
        rows = photos.where(source=source, role="test")
        rest = photos.where(source=source, role="train")
        if len(rows) and len(rest) >= 20:
            truth = top_rows(vectors[rows], vectors[rest], 10)
            by_code = top_rows(decoded[rows], vectors[rest], 10)
            figures[f"code.{source}.overlap@10"] = overlap(truth, by_code, f"{source} test -> train")
    return figures


def validation_score(photos: PhotoSet, vectors: Vectors) -> tuple[float, dict[str, float]]:
    """Return the mean of every source's R@1 on validation photographs, and the parts.

    Catalogue sources ask the training photographs (studio pictures for held-out items); sources from outside count with
    the classes that training never saw, else with all their training photographs, leave-one-out.
    """
    parts: dict[str, float] = {}
    for name, figure in retrieval_figures(photos, vectors, vectors, roles=("val",)).items():
        if name.endswith(("fine.R@1", "studio.R@1")) and figure.n:
            parts[name] = figure.value
    for source in sources_of(photos, "outside"):
        rows = photos.where(source=source, role="val", held_out=True)
        if not len(rows):
            rows = photos.where(source=source, role="train")
        found = _leave_one_out(photos, vectors, vectors, rows, f"{source}.unseen")
        parts |= {name: figure.value for name, figure in found.items() if name.endswith("R@1")}
    return (float(np.mean(list(parts.values()))) if parts else 0.0), parts


def _queries(photos: PhotoSet, source: str, roles: tuple[str, ...]) -> tuple[NDArray[np.int64], str]:
    for role in roles:
        rows = photos.where(source=source, role=role)
        if len(rows):
            return rows, role
    return np.empty(0, dtype=np.int64), roles[-1]


def _ask(
    photos: PhotoSet,
    queries: Vectors,
    gallery: Vectors,
    rows: NDArray[np.int64],
    among: NDArray[np.int64],
    label: str,
    name: str,
    data: str,
) -> dict[str, Figure]:
    wanted = [row for row in rows if getattr(photos.photos[row], label)]
    if not wanted:
        return {}
    found = retrieval(
        queries[wanted],
        [getattr(photos.photos[row], label) for row in wanted],
        gallery[among],
        [getattr(photos.photos[row], label) for row in among],
        data,
    )
    return {f"{name}.{key}": value for key, value in found.items()}


def _leave_one_out(
    photos: PhotoSet, queries: Vectors, gallery: Vectors, rows: NDArray[np.int64], name: str
) -> dict[str, Figure]:
    labels = [photos.photos[row].fine for row in rows]
    if len(set(labels)) < 2:
        return {}
    found = retrieval(queries[rows], labels, gallery[rows], labels, f"{name}, leave-one-out", leave_self_out=True)
    return {f"{name}.{key}": value for key, value in found.items()}
