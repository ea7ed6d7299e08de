"""The codec's training, against faiss and against its own promises."""

from __future__ import annotations

import faiss
import numpy as np
import pytest

from sightline_export.train_codec import aligned, balanced_order, lloyd, train_codec, train_wide_codec
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


def squares(codec, vectors: np.ndarray) -> np.ndarray:
    return np.square(codec.decode(codec.encode(vectors)) - vectors)


def test_a_size_that_does_not_divide_the_dimension_keeps_more_than_the_next_smaller_one() -> None:
    vectors = correlated(2500, 32)
    train, test = vectors[:2000], vectors[2000:]
    smaller, odd = train_codec(train, 8), train_codec(train, 12)
    assert (odd.rotated_dim, odd.code_size) == (36, 12)
    assert np.allclose(odd.rotation.T @ odd.rotation, np.eye(32), atol=1e-5)
    assert squares(odd, test).sum() < 0.9 * squares(smaller, test).sum()


def test_weighting_moves_the_error_to_axes_on_which_the_gallery_does_not_vary() -> None:
    vectors = correlated(2500, 32)
    gallery = vectors * np.linspace(1, 0.2, 32)
    axes = np.linalg.eigh(np.cov(gallery.T))[1][:, -4:]
    plain = train_codec(vectors, 8, gallery=gallery)
    weighed = train_codec(vectors, 8, gallery=gallery, weighting=0.7)
    assert plain.weights is None and weighed.weights is not None

    def along(codec) -> float:
        errors = codec.decode(codec.encode(vectors)) - vectors
        return float(np.square(errors @ axes).sum())

    assert along(weighed) < 0.9 * along(plain)
    assert squares(weighed, vectors).sum() > squares(plain, vectors).sum()


def test_refining_the_rotation_does_not_lose() -> None:
    vectors = correlated(2000, 32)
    start, refined = train_codec(vectors, 8, 10), train_codec(vectors, 8, 10, rotations=8)
    assert np.allclose(refined.rotation @ refined.rotation.T, np.eye(32), atol=1e-4)
    assert squares(refined, vectors).sum() < squares(start, vectors).sum()


def test_the_alignment_is_the_best_of_many_rotations() -> None:
    rng = np.random.default_rng(5)
    centred, hidden = rng.standard_normal((300, 6)).astype(np.float32), np.linalg.qr(rng.standard_normal((6, 6)))[0]
    targets = (centred @ hidden.T + 0.01 * rng.standard_normal((300, 6))).astype(np.float32)
    found = aligned(centred, targets, np.eye(6, dtype=np.float32))
    assert np.allclose(found, hidden, atol=0.02)
    best = np.square(centred @ found.T - targets).sum()
    for _ in range(50):
        nudge = np.linalg.qr(found + 0.05 * rng.standard_normal((6, 6)))
        other = nudge[0] * np.sign(np.diag(nudge[1]))
        assert np.square(centred @ other.T - targets).sum() >= best


def test_lloyd_ends_where_every_centre_is_the_mean_of_its_vectors() -> None:
    vectors = np.random.default_rng(6).standard_normal((500, 3)).astype(np.float32)
    centres = lloyd(vectors, 8, 200, 1)
    nearest = ((vectors[:, None] - centres[None]) ** 2).sum(axis=2).argmin(axis=1)
    for number, centre in enumerate(centres):
        np.testing.assert_allclose(centre, vectors[nearest == number].mean(axis=0), atol=1e-4)


def test_the_wide_code_is_a_byte_a_number_and_almost_exact() -> None:
    vectors = correlated(3000, 16)
    codec = train_wide_codec(vectors)
    assert codec.code_size == codec.dim == 16
    steps = np.diff(codec.codebooks[:, :, 0], axis=1)
    assert np.allclose(steps, steps[:, :1], rtol=1e-3)
    inside = np.abs(vectors - codec.mean) < codec.codebooks[:, -1, 0]
    inside &= vectors - codec.mean > codec.codebooks[:, 0, 0]
    errors = np.abs(codec.decode(codec.encode(vectors)) - vectors)
    assert (errors <= 0.51 * steps[:, 0])[inside].all() and inside.mean() > 0.99
