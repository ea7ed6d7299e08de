"""Scores that say how much an embedding is like the catalogue, in plain numpy; the export chooses one by validation.

With rows r_i, offsets o_i and embeddings x of unit length, high means "like the catalogue":

- cosine: max_i (x . r_i - o_i); rows are k-means centres of the catalogue (prototypes).
- knn: the mean of the k largest x . r_i - o_i; rows as above (Sun et al., ICML 2022), k is the parameter.
- max_logit: max_i (x . r_i - o_i); rows are class weights, offsets take their biases in (Hendrycks et al., ICML 2022).
- energy: T log sum_i exp((x . r_i - o_i) / T); rows as for max_logit (Liu et al., NeurIPS 2020), T is the parameter.
- scale: energy with T = 1 of exp(s) (x . r_i) - o_i, where s is the sum of |x| over the sum of its largest share;
  the parameter is that share (after SCALE: Xu et al., ICLR 2024; embeddings have signs, activations had none).
- mahalanobis: max_i (-||W x - r_i||^2 - o_i); rows are whitened class means, W is the whitening of the shrunk shared
  covariance (Lee et al., NeurIPS 2018).

What comes out is `shift + gain * score`, so that every kind's numbers lie near 0 to 1, as a query carries them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sightline_shared.errors import InputError

Vectors = NDArray[np.float32]

KINDS = ("cosine", "knn", "max_logit", "energy", "scale", "mahalanobis")


@dataclass(frozen=True, eq=False)
class OodScore:
    """One score: `rows` `(p, d)`, `offsets` `(p,)`, `whitening` `(d, d)` for mahalanobis alone, all float32."""

    kind: str
    rows: Vectors
    offsets: Vectors
    parameter: float = 1.0
    whitening: Vectors | None = None
    gain: float = 1.0
    shift: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InputError(f"ood score: expected one of {KINDS}, got '{self.kind}'.")
        if self.rows.ndim != 2 or not len(self.rows) or self.offsets.shape != (len(self.rows),):
            raise InputError(f"ood score: expected an offset a row, got {self.offsets.shape} and {self.rows.shape}.")
        if (self.kind == "mahalanobis") != (self.whitening is not None):
            raise InputError("ood score: expected a whitening for mahalanobis, and for no other kind.")
        if self.whitening is not None and self.whitening.shape != (self.dim, self.dim):
            raise InputError(f"ood score: expected a ({self.dim}, {self.dim}) whitening, got {self.whitening.shape}.")
        if not 0 < self.parameter <= (1.0 if self.kind == "scale" else float(len(self.rows) + 100)):
            raise InputError(f"ood score: expected a usable parameter for {self.kind}, got {self.parameter}.")

    @property
    def dim(self) -> int:
        return int(self.rows.shape[1])

    def score(self, embedding: Vectors) -> float:
        """Return the score of one `embedding` `(d,) float32`: bit for bit that of `scores`, with less ado for cosines."""
        if self.kind != "cosine":
            return float(self.scores(embedding[np.newaxis])[0])
        likeness = self.rows.dot(embedding)
        likeness -= self.offsets
        return float(self.shift + self.gain * likeness[likeness.argmax()])

    def scores(self, embeddings: Vectors) -> Vectors:
        """Return the scores `(n,) float32` of `embeddings` `(n, d) float32` of unit length."""
        likeness = self.likeness(embeddings)
        if self.kind == "knn":
            count = min(int(self.parameter), likeness.shape[1])
            best = np.partition(likeness, -count, axis=1)[:, -count:].mean(axis=1)
        elif self.kind in ("energy", "scale"):
            warmth = self.parameter if self.kind == "energy" else 1.0
            top = likeness.max(axis=1)
            best = top + warmth * np.log(np.exp((likeness - top[:, None]) / warmth).sum(axis=1))
        else:
            best = likeness.max(axis=1)
        return np.asarray(self.shift + self.gain * best, dtype=np.float32)

    def likeness(self, embeddings: Vectors) -> Vectors:
        """Return how much each embedding is like each row, less the row's offset: `(n, p) float32`."""
        if self.whitening is None:
            products = embeddings @ self.rows.T
            if self.kind == "scale":
                products = products * np.exp(spread(embeddings, self.parameter))[:, None]
            return np.asarray(products - self.offsets, dtype=np.float32)
        whitened = embeddings @ self.whitening.T
        lengths = np.square(whitened).sum(axis=1)[:, None] + np.square(self.rows).sum(axis=1)
        return np.asarray(2 * whitened @ self.rows.T - lengths - self.offsets, dtype=np.float32)


def spread(embeddings: Vectors, share: float) -> Vectors:
    """Return the sum of |x| over the sum of its largest `share`, for each row: `(n,) float32`, at least 1."""
    sizes = np.sort(np.abs(embeddings), axis=1)
    kept = max(1, round(share * embeddings.shape[1]))
    ratio = sizes.sum(axis=1) / np.maximum(sizes[:, -kept:].sum(axis=1), 1e-12)
    return np.asarray(ratio, dtype=np.float32)
