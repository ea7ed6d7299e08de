"""Many items without pictures, through the catalogue: for indexes that are large enough to have snapshots."""

import numpy as np

from sightline_cloud.catalog.records import Embedding, NewItem
from sightline_cloud.engine import Engine

COLOURS = ("red", "green", "blue", "black")


def unit_vectors(count: int, dim: int, seed: int = 0) -> np.ndarray:
    """Clustered vectors `(count, dim) float32` of unit length, by seed."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(20, dim))
    vectors = centres[rng.integers(0, 20, count)] + 0.5 * rng.normal(size=(count, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def fill(engine: Engine, count: int, *, tenant: str = "default", first: int = 0, seed: int = 0) -> list[str]:
    """Add items `crowd/<n>` of every live generation, in four colours; returns their ids."""
    ids = [f"crowd/{number}" for number in range(first, first + count)]
    embeddings: list[dict[str, Embedding]] = [{} for _ in ids]
    for live in engine.generations.values():
        vectors = unit_vectors(count, live.codec.dim, seed + first)
        for own, vector, code in zip(embeddings, vectors, live.codec.encode(vectors), strict=True):
            own[live.key] = Embedding(vector, code.tobytes())
    items = [
        NewItem(item_id, own, metadata={"colour": COLOURS[number % 4], "number": number})
        for number, (item_id, own) in enumerate(zip(ids, embeddings, strict=True), first)
    ]
    for _ in engine.store.bulk_add(tenant, items):
        pass
    return ids
