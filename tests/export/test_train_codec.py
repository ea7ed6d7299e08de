"""The codec's training, against faiss and against its own promises."""

from __future__ import annotations

import faiss
import numpy as np
import pytest

from sightline_export.train_codec import balanced_order, train_codec
from sightline_shared.errors import TrainingDataTooSmall


def correlated(rows: int, dim: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    mixed = rng.standard_normal((rows, dim)) @ (rng.standard_normal((dim, dim)) * np.linspace(2, 0.1, dim))
    return (mixed / np.linalg.norm(mixed, axis=1, keepdims=True)).astype(np.float32)


def test_faiss_gives_the_same_codes_over_rotated_vectors() -> None:
    vectors = correlated(600, 32)
    codec = train_codec(vectors, subspaces=8)
    pq = faiss.ProductQuantizer(32, 8, 8)
    faiss.copy_array_to_vector(codec.codebooks.ravel(), pq.centroids)
    assert (pq.compute_codes(codec.rotate(vectors)) == codec.encode(vectors)).mean() > 0.999


def test_it_beats_plain_product_quantization() -> None:
    vectors = correlated(4500, 32)
    train, test = vectors[:4000], vectors[4000:]
    codec = train_codec(train, subspaces=8)
    pq = faiss.ProductQuantizer(32, 8, 8)
    pq.train(train)
    ours = np.square(codec.decode(codec.encode(test)) - test).sum(axis=1).mean()
    plain = np.square(pq.decode(pq.compute_codes(test)) - test).sum(axis=1).mean()
    assert ours < plain


def test_the_rotation_is_orthonormal_and_the_training_repeats() -> None:
    vectors = correlated(400, 16)
    first, second = train_codec(vectors, 4, seed=3), train_codec(vectors, 4, seed=3)
    assert np.allclose(first.rotation @ first.rotation.T, np.eye(16), atol=1e-5)
    assert first.to_bytes() == second.to_bytes()


def test_eigenvalues_are_spread_evenly() -> None:
    values = 2.0 ** -np.arange(16)
    order = balanced_order(values, 4)
    assert sorted(order.tolist()) == list(range(16))
    products = np.log2(values[order].reshape(4, 4)).sum(axis=1)
    in_order = np.log2(values.reshape(4, 4)).sum(axis=1)
    assert np.ptp(products) < np.ptp(in_order) / 4


def test_too_few_vectors_are_refused() -> None:
    with pytest.raises(TrainingDataTooSmall, match="256"):
        train_codec(correlated(100, 16), 4)
