"""Backward compatibility: a new gallery that the queries of an earlier bundle still find their way in.

Old apps live for years. Two things keep their queries useful. The teacher is turned, as a whole, to where the earlier
bundle put the same photographs (orthogonal Procrustes: no distance changes, so nothing is lost). And the student's
embeddings must satisfy the earlier bundle's classifier as well (`losses.influence_loss`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sightline_export.batches import TrainingSet
from sightline_export.data import PhotoSet
from sightline_export.workspace import Run
from sightline_shared.bundle import Bundle, open_bundle
from sightline_shared.errors import RecipeInvalid

Vectors = NDArray[np.float32]


def old_bundle(run: Run) -> Bundle | None:
    """Return the earlier bundle that the recipe names, verified; None when it names none. Raises RecipeInvalid."""
    name = run.recipe.compatibility.bundle
    if not name:
        return None
    bundle = open_bundle(run.recipe.path(name))
    if bundle.manifest.dim != run.recipe.student.dimension:
        raise RecipeInvalid(
            f"compatibility.bundle: expected embeddings of {run.recipe.student.dimension} numbers, got "
            f"{bundle.manifest.dim} in {bundle.label}.",
            hint="Set student.dimension to the earlier bundle's, or leave the compatibility out.",
        )
    return bundle


def old_vectors(run: Run, photos: PhotoSet) -> Vectors | None:
    """Return the earlier bundle's embeddings `(n, d) float32` of all photographs, or None when there is no such bundle."""
    bundle = old_bundle(run)
    if bundle is None:
        return None
    size = bundle.manifest.input_size
    seen = photos if size == photos.tensors.shape[1] else photos.resized(size)
    return run.embed(bundle.role("student"), seen)


def towards_old_space(run: Run, photos: PhotoSet, vectors: Vectors) -> Vectors:
    """Return `vectors` `(n, d)` turned to the earlier bundle's space; unchanged when the recipe names no bundle."""
    old = old_vectors(run, photos)
    if old is None:
        return vectors
    train = photos.where(role="train")
    turned = vectors @ procrustes(vectors[train], old[train])
    cosine = float((turned[train] * old[train]).sum(axis=1).mean())
    run.progress.say(f"compatibility: the turned teacher's mean cosine to the earlier bundle is {cosine:.3f}")
    return np.asarray(turned, dtype=np.float32)


def procrustes(source: Vectors, target: Vectors) -> Vectors:
    """Return the orthogonal `(d, d) float32` matrix that turns `source` `(n, d)` nearest to `target` (Schoenemann 1966)."""
    left, _, right = np.linalg.svd(source.astype(np.float64).T @ target.astype(np.float64))
    return np.asarray(left @ right, dtype=np.float32)


def old_centres(run: Run, photos: PhotoSet, rows: NDArray[np.int64], data: TrainingSet) -> Vectors | None:
    """Return the earlier bundle's class means `(c, d) float32` at length 1, in the order of `data.items`, or None.

    `data` holds the photographs in `rows` `(m,)`.
    """
    old = old_vectors(run, photos)
    if old is None:
        return None
    old = old[rows]
    classes = int(data.items.max()) + 1
    centres = np.stack([old[data.items == item].mean(axis=0) for item in range(classes)])
    return np.asarray(centres / np.linalg.norm(centres, axis=1, keepdims=True), dtype=np.float32)
