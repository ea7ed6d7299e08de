"""Real embeddings grown to more vectors than there are photographs.

The first rows are the real views, shuffled. Every further row is made up: a point between the mean embeddings of one
photograph and of one of its nearest other photographs, plus what one real view of a random nearby photograph differs from
its own mean. So made-up rows fill the space between real ones with the augmentations' own residuals; they are still not
photographs, and results say which share is real.
"""

from __future__ import annotations

from collections.abc import Iterator

import faiss
import numpy as np
from numpy.typing import NDArray

CHUNK = 50_000
NEIGHBOURS = 10


class Growth:
    """Grows `views` `(photos, views, d) float16`, seeded."""

    def __init__(self, views: NDArray[np.float16], seed: int) -> None:
        self._seed = seed
        self._views = views
        self._means = views.astype(np.float32).mean(axis=1)
        _, near = faiss.knn(self._means, self._means, NEIGHBOURS + 1, metric=faiss.METRIC_INNER_PRODUCT)
        self._near = near

    @property
    def real(self) -> int:
        return int(self._views.shape[0] * self._views.shape[1])

    def chunks(self, n: int) -> Iterator[NDArray[np.float32]]:
        """Yield `n` vectors, `(<= CHUNK, d) float32` at a time: the real ones first."""
        flat = self._views.reshape(self.real, -1)
        order = np.random.default_rng([self._seed, 0]).permutation(self.real)[:n]
        for start in range(0, len(order), CHUNK):
            yield flat[order[start : start + CHUNK]].astype(np.float32)
        for number, start in enumerate(range(self.real, n, CHUNK)):
            yield self._make_up(number, min(CHUNK, n - start))

    def _make_up(self, number: int, n: int) -> NDArray[np.float32]:
        rng = np.random.default_rng([self._seed, 1, number])
        photo = rng.integers(0, len(self._means), n)
        other, source = (self._near[photo, rng.integers(1, NEIGHBOURS + 1, n)] for _ in range(2))
        share = rng.random((n, 1), np.float32)
        view = rng.integers(0, self._views.shape[1], n)
        made: NDArray[np.float32] = self._means[photo] * (1 - share) + self._means[other] * share
        made += self._views[source, view].astype(np.float32) - self._means[source]
        made /= np.linalg.norm(made, axis=1, keepdims=True)
        return made
