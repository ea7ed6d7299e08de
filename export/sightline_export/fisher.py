"""Fisher's discriminant: a linear classifier from the means and covariances of two sides. numpy only: benchmarks fit it too."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Floats = NDArray[np.float64]

# Fisher's discriminant has no scale of its own: the means of its two sides get the logits -SPREAD and SPREAD.
SPREAD = 4.0


@dataclass(frozen=True, eq=False)
class Moments:
    """Mean `(d,)` and covariance `(d, d)` of vectors."""

    mean: Floats
    covariance: Floats


def moments(vectors: Vectors, groups: NDArray[np.str_]) -> Moments:
    """Return the moments of `vectors` `(n, d)` in which every one of the `groups` `(n,)` weighs the same."""
    _, places, counts = np.unique(groups, return_inverse=True, return_counts=True)
    weights = 1 / (len(counts) * counts[places])
    mean: Floats = weights @ vectors.astype(np.float64)
    centred = vectors - mean
    return Moments(mean, (centred * weights[:, None]).T @ centred)


def fit_fisher(inside: Moments, outside: Moments, share: float, shrinkage: float) -> tuple[Vectors, float]:
    """Return weight `(d,) float32` and bias of Fisher's linear discriminant, above 0 nearer to `inside`.

    The covariance is the two sides' with `inside` weighing `share`; `shrinkage` is the share of a multiple of the identity
    with the same trace that replaces it (Ledoit and Wolf 2004).
    """
    covariance = share * inside.covariance + (1 - share) * outside.covariance
    dim = len(covariance)
    target = np.trace(covariance) / dim * np.eye(dim)
    apart = inside.mean - outside.mean
    direction = np.linalg.solve((1 - shrinkage) * covariance + shrinkage * target, apart)
    direction *= 2 * SPREAD / (direction @ apart)
    return direction.astype(np.float32), float(-direction @ (inside.mean + outside.mean) / 2)
