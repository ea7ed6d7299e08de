"""Training the codec: PCA, an eigenvalue-balanced allocation to subspaces, k-means in each of them."""

from __future__ import annotations

import faiss
import numpy as np
from numpy.typing import NDArray

from sightline_shared.codec import CENTROIDS, Codec
from sightline_shared.errors import TrainingDataTooSmall


def train_codec(vectors: NDArray[np.float32], subspaces: int, iterations: int = 25, seed: int = 1) -> Codec:
    """Train a codec of `subspaces` bytes on `vectors` `(n, d) float32`.

    Parametric OPQ (Ge et al., CVPR 2013, section 3.2): rotate by PCA, deal the components out so that the products of
    the eigenvalues are balanced, then product quantization. Raises TrainingDataTooSmall below 256 vectors.
    """
    count, dim = vectors.shape
    if count < CENTROIDS:
        raise TrainingDataTooSmall(
            f"codec: expected at least {CENTROIDS} training vectors, got {count}.",
            hint="Add photographs, or raise codec.views in the recipe.",
        )
    mean = vectors.mean(axis=0, dtype=np.float64)
    centred = vectors.astype(np.float64) - mean
    values, axes = np.linalg.eigh(centred.T @ centred / count)
    order = balanced_order(values, subspaces)
    rotation = np.ascontiguousarray(axes[:, order].T, dtype=np.float32)
    rotated = ((vectors - mean.astype(np.float32)) @ rotation.T).astype(np.float32)
    width = dim // subspaces
    codebooks = np.empty((subspaces, CENTROIDS, width), dtype=np.float32)
    for index in range(subspaces):
        part = np.ascontiguousarray(rotated[:, index * width : (index + 1) * width])
        codebooks[index] = kmeans(part, CENTROIDS, iterations, seed + index)
    return Codec(mean.astype(np.float32), rotation, codebooks)


def balanced_order(values: NDArray[np.float64], subspaces: int) -> NDArray[np.int64]:
    """Return the order `(d,)` in which components fill the subspaces, given eigenvalues `(d,)`.

    Greedy: from the largest eigenvalue down, each goes to the subspace with the smallest product so far that has room.
    """
    width = len(values) // subspaces
    members: list[list[int]] = [[] for _ in range(subspaces)]
    # Products as sums of logarithms, shifted so that every logarithm is positive and products grow.
    logs = np.log(np.maximum(values, max(float(values.max()), 1e-12) * 1e-9))
    logs = logs - logs.min() + 1e-9
    sums = np.zeros(subspaces)
    for component in np.argsort(values)[::-1]:
        open_sums = np.where([len(group) < width for group in members], sums, np.inf)
        chosen = int(np.argmin(open_sums))
        members[chosen].append(int(component))
        sums[chosen] += logs[component]
    return np.array([component for group in members for component in group], dtype=np.int64)


def kmeans(
    vectors: NDArray[np.float32], count: int, iterations: int, seed: int, *, spherical: bool = False
) -> NDArray[np.float32]:
    """Return `count` k-means centres `(count, d) float32` of `vectors`."""
    trainer = faiss.Kmeans(
        vectors.shape[1],
        count,
        niter=iterations,
        seed=seed,
        spherical=spherical,
        min_points_per_centroid=1,
        max_points_per_centroid=1 << 20,
    )
    trainer.train(np.ascontiguousarray(vectors, dtype=np.float32))
    centroids: NDArray[np.float32] = np.asarray(trainer.centroids, dtype=np.float32)
    return centroids
