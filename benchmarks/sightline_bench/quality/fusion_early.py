"""The text's direction in the pictures' space, by a projection that may or may not know what the text names."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sightline_bench.packs import Photo
from sightline_bench.quality.fusion_texts import FAMILIES, IRRELEVANT, VARIANTS
from sightline_bench.quality.measure import Vectors
from sightline_cloud.fusion.tower import TextTower
from sightline_export.text_classes import texts_of
from sightline_export.text_projection import fit
from sightline_shared.tower import Projection

# What the export chooses for the packs on classes left out.
DECAY = 0.1


def modifiers(photos: Sequence[Photo], vectors: Vectors, tower: TextTower, *, left_out: bool) -> dict[str, Vectors]:
    """Return each text's unit direction `(d,)`, trained on the classes of `photos` and their `vectors` `(n, d)`.

    With `left_out` the projection for a variant's text knew no class of its family: neither it nor its like.
    """
    classes = sorted({(photo.coarse, photo.fine) for photo in photos})
    targets = np.stack([_mean(photos, vectors, name) for _, name in classes])
    texts = [np.stack([_vector(tower, text) for text in texts_of(name, family)]) for family, name in classes]

    def without(family: str) -> Projection:
        kept = [row for row, (kind, _) in enumerate(classes) if kind != family]
        return fit([texts[row] for row in kept], targets[kept], DECAY)

    whole = without("")
    apart = {family: without(family) for family in set(FAMILIES.values())} if left_out else {}
    found = {text: (apart.get(FAMILIES[name], whole), text) for name, text in VARIANTS.items()}
    found |= {text: (whole, text) for text in IRRELEVANT}
    return {text: projection.apply(_vector(tower, text)[np.newaxis])[0] for text, (projection, _) in found.items()}


def _mean(photos: Sequence[Photo], vectors: Vectors, name: str) -> Vectors:
    mean = vectors[[row for row, photo in enumerate(photos) if photo.fine == name]].mean(axis=0)
    unit: Vectors = mean / np.linalg.norm(mean)
    return unit


def _vector(tower: TextTower, text: str) -> Vectors:
    vector = tower.asked(text)
    assert vector is not None
    return vector
