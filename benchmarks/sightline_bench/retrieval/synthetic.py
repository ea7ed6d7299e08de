"""A seeded clustered generator: a low-rank Gaussian mixture on the unit sphere, made chunk by chunk.

Cluster c has a centre m_c, itself a point of a `rank`-dimensional Gaussian (so that clusters have neighbours), and its own
`rank` directions B_c with falling spread. A vector is m_c + B_c z + noise, scaled to unit length; clusters have Zipf-like
sizes. `rank` is the stated intrinsic dimension; `truth.two_nn` measures what comes out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Rows a chunk: its number seeds it, so that row i is the same whatever n is.
CHUNK = 50_000
QUERY_CHUNK = 1 << 30


@dataclass(frozen=True)
class Mixture:
    """What the generator depends on; `spread` is the length of B_c z against a centre's length of 1, `noise` that of the noise."""

    seed: int = 0
    dim: int = 256
    rank: int = 16
    clusters: int = 1_000
    spread: float = 1.5
    noise: float = 0.5


class Generator:
    """Draws from one mixture; holds clusters * rank * dim floats (16 MB by default)."""

    def __init__(self, mixture: Mixture) -> None:
        rng = np.random.default_rng([mixture.seed, 0])
        m = self.mixture = mixture
        shared = rng.standard_normal((2 * m.rank, m.dim)).astype(np.float32)
        centres = rng.standard_normal((m.clusters, 2 * m.rank)).astype(np.float32) @ shared
        self._centres = centres / np.linalg.norm(centres, axis=1, keepdims=True)
        scales = 1 / np.sqrt(np.arange(1, m.rank + 1, dtype=np.float32))
        scales *= m.spread / np.sqrt((scales**2).sum() * m.dim)
        self._bases = rng.standard_normal((m.clusters, m.rank, m.dim), np.float32) * scales[:, None]
        sizes = 1 / np.arange(1, m.clusters + 1) ** 0.5
        self._shares = sizes / sizes.sum()

    def chunks(self, n: int) -> Iterator[NDArray[np.float32]]:
        """Yield the first `n` vectors, `(<= CHUNK, dim) float32` at a time."""
        for number, start in enumerate(range(0, n, CHUNK)):
            yield self._draw(number, CHUNK)[: n - start]

    def queries(self, n: int) -> NDArray[np.float32]:
        """Return `(n, dim) float32` vectors of the same mixture that no chunk holds."""
        return self._draw(QUERY_CHUNK, n)

    def _draw(self, number: int, n: int) -> NDArray[np.float32]:
        m = self.mixture
        rng = np.random.default_rng([m.seed, 1, number])
        clusters = rng.choice(m.clusters, n, p=self._shares)
        z = rng.standard_normal((n, m.rank), np.float32)
        vectors = rng.standard_normal((n, m.dim), np.float32) * np.float32(m.noise / np.sqrt(m.dim))
        vectors += self._centres[clusters]
        # Cluster by cluster: one small matrix product each, in place of a gathered (n, rank, dim) array.
        order = np.argsort(clusters, kind="stable")
        for rows in np.split(order, np.flatnonzero(np.diff(clusters[order])) + 1):
            vectors[rows] += z[rows] @ self._bases[clusters[rows[0]]]
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors
