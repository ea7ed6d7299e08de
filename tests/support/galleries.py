"""Vectors as embeddings are, and a codec for them, for tests of indexes."""

import functools

import numpy as np

from sightline_export.train_codec import train_codec
from sightline_shared.codec import Codec

DIM = 64


def clustered(count: int, seed: int = 0, dim: int = DIM) -> np.ndarray:
    """Unit vectors around 60 centres in a space of about a dozen dimensions: what embeddings of many classes look like."""
    fixed, rng = np.random.default_rng(99), np.random.default_rng(seed)
    centres, axes = fixed.normal(size=(60, 12)), fixed.normal(size=(12, dim))
    vectors = (centres[rng.integers(0, 60, count)] + 0.6 * rng.normal(size=(count, 12))) @ axes
    vectors += 0.3 * rng.normal(size=(count, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@functools.cache
def codec_of(code_size: int = 32, dim: int = DIM) -> Codec:
    return train_codec(clustered(4000, seed=1, dim=dim), code_size, iterations=4)
