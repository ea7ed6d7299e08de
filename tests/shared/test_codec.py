"""The codec agrees with faiss, comes back from its file unchanged, and refuses files that are not one."""

import faiss
import msgpack
import numpy as np
import pytest

from sightline_shared.codec import Codec
from sightline_shared.errors import BundleCorrupt, InputError


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    rng = np.random.default_rng(0)
    return (rng.normal(size=(3000, 64)) * np.linspace(3, 0.1, 64)).astype(np.float32)


@pytest.fixture(scope="module")
def codec(vectors: np.ndarray) -> Codec:
    """A codec with a random rotation and faiss's own k-means: the format and the arithmetic, not the quality."""
    rng = np.random.default_rng(1)
    rotation = np.linalg.qr(rng.normal(size=(64, 64)))[0].astype(np.float32)
    mean = vectors.mean(axis=0)
    pq = faiss.ProductQuantizer(64, 32, 8)
    pq.train((vectors - mean) @ rotation.T)
    return Codec(mean, rotation, faiss.vector_to_array(pq.centroids).reshape(32, 256, 2))


def test_one_vector_has_the_code_that_it_has_among_many(codec: Codec, vectors: np.ndarray) -> None:
    alone = [codec.encode_one(vector) for vector in vectors[:300]]
    assert alone == [code.tobytes() for code in codec.encode(vectors[:300])]
    assert alone == [codec.encode(vector[np.newaxis])[0].tobytes() for vector in vectors[:300]]
    with pytest.raises(InputError, match=r"expected \(64,\)"):
        codec.encode_one(vectors[:1])


def test_codes_and_decoded_vectors_are_those_of_faiss(codec: Codec, vectors: np.ndarray) -> None:
    pq = faiss.ProductQuantizer(64, 32, 8)
    faiss.copy_array_to_vector(codec.codebooks.ravel(), pq.centroids)
    rotated = codec.rotate(vectors)
    expected = pq.compute_codes(rotated)
    codes = codec.encode(vectors)
    # A tie between two centroids may fall either way: at most one byte in 10,000 and never a worse centroid.
    differing = (codes != expected).mean()
    assert differing < 1e-4
    ours = ((codec.decode_rotated(codes) - rotated) ** 2).sum(axis=1)
    theirs = ((pq.decode(expected) - rotated) ** 2).sum(axis=1)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4)
    np.testing.assert_allclose(codec.decode_rotated(expected), pq.decode(expected), rtol=1e-6)


def test_encoding_is_the_slow_obvious_search(codec: Codec, vectors: np.ndarray) -> None:
    rotated = (vectors[:20].astype(np.float64) - codec.mean) @ codec.rotation.T
    for row, code in zip(rotated, codec.encode(vectors[:20]), strict=True):
        for part, byte, book in zip(row.reshape(32, 2), code, codec.codebooks, strict=True):
            distances = ((book - part) ** 2).sum(axis=1)
            assert distances[byte] <= distances.min() + 1e-5


def test_decoding_undoes_the_rotation(codec: Codec, vectors: np.ndarray) -> None:
    codes = codec.encode(vectors)
    np.testing.assert_allclose(codec.rotate(codec.decode(codes)), codec.decode_rotated(codes), atol=1e-4)
    error = ((codec.decode(codes) - vectors) ** 2).sum() / ((vectors - codec.mean) ** 2).sum()
    assert error < 0.1


def test_codes_are_stable_under_encoding_again(codec: Codec, vectors: np.ndarray) -> None:
    codes = codec.encode(vectors)
    again = codec.encode(codec.decode(codes))
    assert (codes == again).mean() > 0.999


def test_a_codec_file_comes_back_unchanged(codec: Codec, vectors: np.ndarray) -> None:
    read = Codec.from_bytes(codec.to_bytes())
    np.testing.assert_array_equal(read.encode(vectors), codec.encode(vectors))
    assert (read.dim, read.code_size) == (64, 32)


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"d": 128},
        {"d": -64},
        {"d": 10**9},
        {"m": 0},
        {"m": 48},
        {"mean": b""},
        {"rotation": b"x" * 10},
        {"codebooks": None},
        {"mean": np.full(64, np.nan, "<f4").tobytes()},
    ],
)
def test_a_codec_file_with_a_wrong_field_is_refused(codec: Codec, change: dict[str, object]) -> None:
    fields = {**msgpack.unpackb(codec.to_bytes()), **change}
    with pytest.raises(BundleCorrupt):
        Codec.from_bytes(msgpack.packb(fields))


@pytest.mark.parametrize("data", [b"", b"\x80", b"PK\x03\x04", b"\x81\xa1d", msgpack.packb([1, 2])])
def test_bytes_that_are_no_codec_file_are_refused(data: bytes) -> None:
    with pytest.raises(BundleCorrupt):
        Codec.from_bytes(data)


def test_arrays_of_the_wrong_shape_are_named(codec: Codec) -> None:
    with pytest.raises(InputError, match=r"expected \(n, 64\) float32, got \(3, 63\)"):
        codec.encode(np.zeros((3, 63), np.float32))
    with pytest.raises(InputError, match=r"expected \(n, 32\) uint8"):
        codec.decode(np.zeros((3, 31), np.uint8))


@pytest.fixture(scope="module")
def padded(vectors: np.ndarray) -> Codec:
    """64 numbers in 48 bytes: 16 subspaces of two numbers, 32 of one and a zero; weights from 0.1 to 1."""
    rng = np.random.default_rng(4)
    axes = np.linalg.qr(rng.normal(size=(64, 64)))[0]
    rotation = np.zeros((96, 64), np.float32)
    rotation[[*range(32), *range(32, 96, 2)]] = axes
    mean = vectors.mean(axis=0)
    rotated = ((vectors - mean) @ rotation.T).reshape(len(vectors), 48, 2)
    codebooks = np.stack([rotated[rng.choice(len(vectors), 256, replace=False), i] for i in range(48)])
    return Codec(mean, rotation, codebooks, np.linspace(0.1, 1, 96).astype(np.float32))


def test_a_code_size_that_does_not_divide_the_dimension_keeps_distances(padded: Codec, vectors: np.ndarray) -> None:
    rotated = padded.rotate(vectors)
    assert (padded.dim, padded.rotated_dim, padded.code_size) == (64, 96, 48) and rotated.shape == (3000, 96)
    lengths = np.linalg.norm(vectors - padded.mean, axis=1)
    np.testing.assert_allclose(np.linalg.norm(rotated, axis=1), lengths, rtol=1e-4)
    codes = padded.encode(vectors)
    np.testing.assert_allclose(padded.decode(codes), padded.decode_rotated(codes) @ padded.rotation + padded.mean)


def test_weights_decide_which_centroid_is_nearest(padded: Codec, vectors: np.ndarray) -> None:
    rows, weights = padded.rotate(vectors[:40]), padded.weights.reshape(48, 2)
    differs = 0
    for row, code in zip(rows, padded.encode(vectors[:40]), strict=True):
        for part, byte, book, weight in zip(row.reshape(48, 2), code, padded.codebooks, weights, strict=True):
            distances = (weight * (book - part) ** 2).sum(axis=1)
            assert distances[byte] <= distances.min() + 1e-4
            differs += int(((book - part) ** 2).sum(axis=1).argmin() != distances.argmin())
    assert differs, "weights that change nothing prove nothing"


def test_a_format_2_file_comes_back_unchanged_and_plain_ones_stay_format_1(
    codec: Codec, padded: Codec, vectors: np.ndarray
) -> None:
    assert msgpack.unpackb(codec.to_bytes())["format"] == 1
    assert msgpack.unpackb(padded.to_bytes())["format"] == 2
    read = Codec.from_bytes(padded.to_bytes())
    np.testing.assert_array_equal(read.encode(vectors), padded.encode(vectors))
    assert read.to_bytes() == padded.to_bytes()


@pytest.mark.parametrize(
    "change",
    [
        {"p": 64},
        {"p": 10**9},
        {"p": "96"},
        {"weights": b""},
        {"weights": np.zeros(96, "<f4").tobytes()},
        {"weights": np.full(96, np.nan, "<f4").tobytes()},
        {"format": 1},
        {"d": 64.0},
        {"m": True},
        {"rotation": bytes(4 * 64 * 64)},
    ],
)
def test_a_format_2_file_with_a_wrong_field_is_refused(padded: Codec, change: dict[str, object]) -> None:
    with pytest.raises(BundleCorrupt):
        Codec.from_bytes(msgpack.packb({**msgpack.unpackb(padded.to_bytes()), **change}))


def test_many_vectors_get_the_codes_that_few_get(codec: Codec, vectors: np.ndarray) -> None:
    np.testing.assert_array_equal(codec.encode(vectors)[1000:1010], codec.encode(vectors[1000:1010]))
