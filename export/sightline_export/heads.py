"""Training the heads on the shipped student's embeddings: what kind of thing it is, and whether it is a sensitive subject."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sightline_export.data import PhotoSet
from sightline_export.evaluate import Figure
from sightline_export.semantic_head import fit_semantic
from sightline_export.sensitive_head import fit_sensitive
from sightline_export.workspace import Run
from sightline_shared.heads import Heads, Sensitive

Vectors = NDArray[np.float32]
Rows = NDArray[np.int64]


def fit_heads(run: Run, photos: PhotoSet, vectors: Vectors, model: bytes) -> tuple[Heads, dict[str, Figure]]:
    """Return the heads for the shipped student's embeddings `(n, d)` of all photographs, and their figures."""
    settings = run.recipe.heads
    views = augmented_vectors(run, photos, model, photos.where(role="train", kind="catalogue"), settings.views)
    semantic, found = fit_semantic(photos, vectors, views, settings)
    sensitive: Sensitive | None = None
    rows = photos.where(kind="sensitive")
    if len(rows):
        own = sensitive_vectors(run, photos, model, rows)
        sensitive, figures = fit_sensitive(photos, vectors, own, views, settings)
        found |= figures
    return Heads(semantic, sensitive), found


def augmented_vectors(run: Run, photos: PhotoSet, model: bytes, rows: Rows, count: int) -> dict[int, Vectors]:
    """Return `count` augmented views' embeddings `(count, d)` of each row of the catalogue, by row."""
    return dict(zip(rows.tolist(), run.views("semantic head", model, photos, rows, count), strict=True))


def sensitive_vectors(run: Run, photos: PhotoSet, model: bytes, rows: Rows) -> dict[int, Vectors]:
    """Return the embeddings `(v, d)` of each sensitive row's augmented and recoloured views, by row."""
    settings = run.recipe.heads
    found = [run.views("sensitive head", model, photos, rows, settings.sensitive_views)]
    for turn in range(settings.sensitive_recolourings):
        changed = recoloured(photos, rows, np.random.default_rng((run.recipe.seed, turn)))
        found.append(run.views(f"recoloured {turn}", model, changed, rows, 1))
    return dict(zip(rows.tolist(), np.concatenate(found, axis=1), strict=True))


def recoloured(photos: PhotoSet, rows: Rows, rng: np.random.Generator) -> PhotoSet:
    """Return the photographs with other colours in `rows`, for augmentation only: the tensors stay what they were.

    Colour is how the few known kinds differ most, and tells nothing of the next one: half become grey, half get their
    channels in another order.
    """
    images = list(photos.images)
    for row in rows.tolist():
        if rng.random() < 0.5:
            images[row] = images[row].convert("L").convert("RGB")
        else:
            channels = images[row].split()
            images[row] = Image.merge("RGB", [channels[place] for place in rng.permutation(3)])
    return PhotoSet(photos.photos, images, photos.tensors, photos.digests)
