"""Training the codec: PCA, an eigenvalue-balanced allocation to subspaces, k-means in each of them.

Errors may be weighed by how much the catalogue varies along each axis: a query's error moves ranks only along axes on
which the items differ. The rotation can be refined together with the codebooks (non-parametric OPQ: Ge et al., CVPR 2013,
section 3.1); it is off by default, since it bought nothing on real embeddings.
"""

from __future__ import annotations

import faiss
import numpy as np
from numpy.typing import NDArray

from sightline_export.recipe import Codec as Settings
from sightline_shared.codec import CENTROIDS, Codec, padded_dim
from sightline_shared.errors import TrainingDataTooSmall

Vectors = NDArray[np.float32]
Floats = NDArray[np.float64]

# k-means iterations between two updates of the rotation; the last round takes the full number.
REFINING_ITERATIONS = 4
# A scalar quantizer's range leaves this share of the training values outside, at each end.
CLIPPED = 0.0005
# An axis of almost no variance still counts a little.
LEAST_SHARE = 1e-4


def make_codec(vectors: Vectors, gallery: Vectors, settings: Settings, seed: int) -> Codec:
    """Return the codec that the recipe asks for, trained on `vectors` `(n, d)` for the catalogue `gallery` `(g, d)`."""
    if settings.kind == "sq8":
        return train_wide_codec(vectors)
    return train_codec(
        vectors,
        settings.subspaces,
        settings.iterations,
        seed,
        rotations=settings.rotations,
        weighting=settings.weighting,
        gallery=gallery,
    )


def train_codec(
    vectors: Vectors,
    subspaces: int,
    iterations: int = 25,
    seed: int = 1,
    *,
    rotations: int = 0,
    weighting: float = 0.0,
    gallery: Vectors | None = None,
) -> Codec:
    """Train a codec of `subspaces` bytes on `vectors` `(n, d) float32`.

    Parametric OPQ (Ge et al., CVPR 2013, section 3.2): rotate by PCA, deal the components out so that the products of
    the eigenvalues are balanced, then product quantization; `rotations` refinements of the rotation follow. Where
    `subspaces` does not divide d, some subspaces hold one number less. The axes are those of `gallery` `(g, d)`, the
    catalogue (default `vectors`); a squared error along one weighs as its share of variance to the power of `weighting`.
    Raises TrainingDataTooSmall below 256 vectors.
    """
    check_enough(len(vectors))
    mean = vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
    centred = vectors - mean
    rotation, weights = weighed_rotation(centred, vectors if gallery is None else gallery, subspaces, weighting)
    roots = np.sqrt(weights)
    codebooks: Vectors | None = None
    for _ in range(rotations):
        rotated = centred @ rotation.T * roots
        codebooks = train_codebooks(rotated, subspaces, REFINING_ITERATIONS, seed, start=codebooks)
        rotation = aligned(centred, (quantized(rotated, codebooks) / roots).astype(np.float32), rotation)
    codebooks = train_codebooks(centred @ rotation.T * roots, subspaces, iterations, seed, start=codebooks)
    codebooks = (codebooks / roots.reshape(subspaces, 1, -1)).astype(np.float32)
    return Codec(mean, rotation, codebooks, weights if weighting else None)


def train_wide_codec(vectors: Vectors) -> Codec:
    """Return the scalar quantizer of `vectors` `(n, d) float32`: one byte a number, 256 even steps over its own range.

    There is no rotation: every number gets its byte as it stands. Raises TrainingDataTooSmall below 256 vectors.
    """
    check_enough(len(vectors))
    mean = vectors.mean(axis=0)
    low, high = np.quantile(vectors - mean, [CLIPPED, 1 - CLIPPED], axis=0)
    width = np.maximum(high - low, 1e-6) / CENTROIDS
    steps = low[:, None] + width[:, None] * (np.arange(CENTROIDS) + 0.5)
    return Codec(mean, np.eye(len(mean), dtype=np.float32), steps[:, :, None].astype(np.float32))


def check_enough(count: int) -> None:
    """Raise TrainingDataTooSmall below 256 vectors."""
    if count < CENTROIDS:
        raise TrainingDataTooSmall(
            f"codec: expected at least {CENTROIDS} training vectors, got {count}.",
            hint="Add photographs, or raise codec.views in the recipe.",
        )


def weighed_rotation(centred: Vectors, gallery: Vectors, subspaces: int, weighting: float) -> tuple[Vectors, Vectors]:
    """Return `gallery`'s PCA axes dealt out to the subspaces, `(p, d) float32` with orthonormal columns, and weights `(p,)`.

    Dealt out by the weighed variance of `centred` `(n, d)` along them. Places to fill up are rows of zeros.
    """
    dim = centred.shape[1]
    around = gallery.astype(np.float64) - gallery.mean(axis=0, dtype=np.float64)
    values, axes = np.linalg.eigh(around.T @ around / len(gallery))
    weights = np.maximum(values / max(float(values.max()), 1e-12), LEAST_SHARE) ** weighting
    variances = np.square(centred.astype(np.float64) @ axes).mean(axis=0) * weights
    padding = padded_dim(dim, subspaces) - dim
    # Padding counts as components of no variance: it goes last, where there is room.
    order = balanced_order(np.concatenate([variances, np.zeros(padding)]), subspaces)
    rows = np.concatenate([axes.T, np.zeros((padding, dim))])[order]
    ordered = np.concatenate([weights, np.ones(padding)])[order]
    return np.ascontiguousarray(rows, dtype=np.float32), ordered.astype(np.float32)


def balanced_order(values: Floats, subspaces: int) -> NDArray[np.int64]:
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


def train_codebooks(
    rotated: Vectors, subspaces: int, iterations: int, seed: int, start: Vectors | None = None
) -> Vectors:
    """Return k-means codebooks `(m, 256, p/m) float32` of `rotated` `(n, p)`, from `start` where given."""
    parts = np.split(rotated, subspaces, axis=1)
    return np.stack(
        [
            lloyd(part, CENTROIDS, iterations, seed + index, None if start is None else start[index])
            for index, part in enumerate(parts)
        ]
    )


def lloyd(vectors: Vectors, count: int, iterations: int, seed: int, start: Vectors | None = None) -> Vectors:
    """Return `count` k-means centres `(count, w) float32` of `vectors` `(n, w)` of few numbers each.

    Plain Lloyd iterations in numpy: for vectors of 2 to 8 numbers several times as fast as faiss's. A centre that lost
    all its vectors starts again at one of them.
    """
    rng = np.random.default_rng(seed)
    centres = vectors[rng.choice(len(vectors), count, replace=False)].copy() if start is None else start.copy()
    for _ in range(iterations):
        nearest = (vectors @ centres.T - 0.5 * np.square(centres).sum(axis=1)).argmax(axis=1)
        sizes = np.bincount(nearest, minlength=count)
        sums = np.stack([np.bincount(nearest, column, count) for column in vectors.T], axis=1)
        filled = sizes > 0
        centres[filled] = sums[filled] / sizes[filled, None]
        centres[~filled] = vectors[rng.choice(len(vectors), int((~filled).sum()))]
    return centres


def quantized(rotated: Vectors, codebooks: Vectors) -> Vectors:
    """Return each part of `rotated` `(n, p)` replaced by its nearest centroid."""
    subspaces, _, width = codebooks.shape
    found = np.empty_like(rotated)
    for index in range(subspaces):
        span = slice(index * width, (index + 1) * width)
        book = codebooks[index]
        nearest = (rotated[:, span] @ book.T - 0.5 * np.square(book).sum(axis=1)).argmax(axis=1)
        found[:, span] = book[nearest]
    return found


def aligned(centred: Vectors, targets: Vectors, rotation: Vectors) -> Vectors:
    """Return the `(p, d)` matrix with orthonormal columns that brings `centred` `(n, d)` closest to `targets` `(n, p)`.

    The orthogonal Procrustes solution (Schoenemann 1966). Rows of zeros in `rotation` stay zeros.
    """
    used = np.flatnonzero(np.any(rotation != 0, axis=1))
    left, _, right = np.linalg.svd(targets[:, used].astype(np.float64).T @ centred.astype(np.float64))
    result = np.zeros_like(rotation)
    result[used] = (left @ right).astype(np.float32)
    return result


def kmeans(vectors: Vectors, count: int, iterations: int, seed: int, *, spherical: bool = False) -> Vectors:
    """Return `count` k-means centres `(count, d) float32` of `vectors`, by faiss."""
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
    centroids: Vectors = np.asarray(trainer.centroids, dtype=np.float32)
    return centroids
