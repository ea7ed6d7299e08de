"""Items for tests of the catalogue, without pictures and models."""

import zlib

import numpy as np

from sightline_cloud.catalog.generations import Generation
from sightline_cloud.catalog.records import Embedding, NewItem
from support.tiny_bundle import DIM

CODE_SIZE = 64
GENERATION = Generation(b"pairing1".hex(), "tiny 1", DIM, CODE_SIZE)
OTHER = Generation(b"pairing2".hex(), "other 2", 32, 8)


def embedding(seed: int, generation: Generation = GENERATION) -> Embedding:
    """A unit vector and a code, by seed."""
    rng = np.random.default_rng((seed, generation.dim))
    vector = rng.normal(size=generation.dim).astype(np.float32)
    return Embedding(vector / np.linalg.norm(vector), rng.bytes(generation.code_size))


def new_item(
    item_id: str,
    *,
    seed: int | None = None,
    thumbnail: bytes = b"jpeg",
    generations: tuple[Generation, ...] = (GENERATION,),
    **metadata: object,
) -> NewItem:
    """An item whose vectors follow from its id, or from `seed`."""
    number = zlib.crc32(item_id.encode()) if seed is None else seed
    own = {generation.pairing_id: embedding(number, generation) for generation in generations}
    return NewItem(item_id, own, thumbnail, (640, 480), metadata)


def of_vector(item_id: str, vector: np.ndarray, code: bytes) -> NewItem:
    """An item of the generation that tests without a bundle use."""
    return NewItem(item_id, {GENERATION.pairing_id: Embedding(vector, code)}, size_px=(1, 1))
