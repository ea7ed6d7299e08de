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
