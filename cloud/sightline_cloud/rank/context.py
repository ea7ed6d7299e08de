"""What the ranking stages of one query share: the candidates' likeness to each other, computed once, and their notes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sightline_cloud.rank.candidate import Candidate
from sightline_shared.budget import Budget
from sightline_shared.codec import Codec

Compatibility = Callable[[Candidate], float]


class Context:
    """One query's: `k` items are wanted, `now_s` is Unix time, `compatibility` in [0, 1] how well an item's category fits,
    `text` what the query says, `budget` what is left of its time.

    `notes` are for people; stages add to them.
    """

    def __init__(
        self,
        candidates: Sequence[Candidate],
        k: int,
        codec: Codec,
        *,
        compatibility: Compatibility | None = None,
        now_s: float | None = None,
        text: str = "",
        budget: Budget | None = None,
    ) -> None:
        self.k, self.compatibility, self.text = k, compatibility, text
        self.budget = budget or Budget()
        self.now_s = time.time() if now_s is None else now_s
        self.notes: list[str] = []
        self._codec, self._codes = codec, [candidate.code for candidate in candidates]
        self._rows = {candidate.pk: row for row, candidate in enumerate(candidates)}

    def similarities(self, candidates: Sequence[Candidate]) -> NDArray[np.float32]:
        """Return the cosines `(n, n) float32` of `candidates`, all of them the query's, with each other, from their codes.

        An item without a code is like none: its cosines are 0.
        """
        rows = [self._rows[candidate.pk] for candidate in candidates]
        if rows == list(range(len(self._codes))):
            return self._products
        return self._products.take(rows, axis=0).take(rows, axis=1)  # an `ix_` takes twice as long

    @cached_property
    def _products(self) -> NDArray[np.float32]:
        size = self._codec.code_size
        there = [row for row, code in enumerate(self._codes) if len(code) == size]
        codes = np.frombuffer(b"".join([self._codes[row] for row in there]), np.uint8).reshape(-1, size)
        # In the rotated space, where lengths and products are the same: turning back would take most of the time.
        decoded = self._codec.decode_rotated(codes) + self._codec.rotated_mean
        products: NDArray[np.float32] = decoded @ decoded.T
        # The products are fewer numbers than the vectors: it is they that are divided by the lengths.
        lengths = np.maximum(np.sqrt(products.diagonal()), 1e-12)
        products /= lengths[:, np.newaxis]
        products /= lengths
        if len(there) == len(self._codes):
            return products
        whole = np.zeros((len(self._codes), len(self._codes)), np.float32)
        whole[np.ix_(there, there)] = products
        return whole
