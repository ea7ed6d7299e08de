"""PCA-OPQ: the embedding as 64 bytes (32, 96 and a wide 256 as options), encoded and decoded in plain numpy.

Encoding a vector x of length d into m bytes:

1. y = R (x - mean), where R (p x d, orthonormal columns) holds the PCA axes in an order that spreads their eigenvalues
   evenly over m subspaces (parametric OPQ: Ge et al., CVPR 2013, section 3.2). p is d where m divides d; else it is the
   next multiple of m, and rows of zeros fill the places of the subspaces that hold one number less.
2. y is cut into m parts of p/m numbers; byte i is the index of the nearest of subspace i's 256 centroids
   (product quantization: Jegou et al., PAMI 2011). Squared distances are weighed by w (p numbers, all 1 unless the file
   has others): an error counts for more along an axis on which the catalogue varies more, since there it moves ranks.

Decoding looks the centroids up and applies the transpose. R keeps lengths, so distances in the rotated space
are distances between embeddings, and faiss's PQ over rotated vectors gives the same codes where all weights are 1. The wide code is the same
with m = d: each number has its own 256 values, evenly spaced (a scalar quantizer).

A codec file is one msgpack map: `{"format": 1, "d": int, "m": int, "mean": d x float32, "rotation": d*d x
float32, row-major, "codebooks": m*256*(d/m) x float32}`, all little-endian. Where m does not divide d, or weights
differ from 1, format is 2: the map also holds `"p": int` and `"weights": p x float32`, rotation is p*d, codebooks
m*256*(p/m).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgpack
import numpy as np
from numpy.typing import NDArray

from sightline_shared.errors import BundleCorrupt, InputError

FORMAT = 1
FORMAT_2 = 2
CENTROIDS = 256
MAX_DIM = 4096
# Encoding looks at m * 256 numbers for each vector: in pieces, so that a large catalogue does not fill the memory.
ENCODE_ROWS = 512

Vectors = NDArray[np.float32]
Codes = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Codec:
    """A trained codec: mean `(d,)`, rotation `(p, d)`, codebooks `(m, 256, p/m)`, weights `(p,)` or None, all float32.

    p is d or a bit more; None means that all weights are 1.
    """

    mean: Vectors
    rotation: Vectors
    codebooks: Vectors
    weights: Vectors | None = None
    _half_norms: Vectors = field(init=False, repr=False)
    _columns: Vectors = field(init=False, repr=False)
    rotated_mean: Vectors = field(init=False, repr=False)  # R mean: turns rotate()'s centred vectors into R x

    def __post_init__(self) -> None:
        d, (m, centroids, width) = self.mean.shape[0], self.codebooks.shape
        p = padded_dim(d, m)
        if self.rotation.shape != (p, d) or centroids != CENTROIDS or m * width != p:
            raise InputError(
                f"codec: expected a ({p}, {d}) rotation and (m, {CENTROIDS}, {p}/m) codebooks, "
                f"got {self.rotation.shape} and {self.codebooks.shape}."
            )
        if self.weights is not None and (self.weights.shape != (p,) or not (self.weights > 0).all()):
            raise InputError(f"codec: expected ({p},) positive weights, got {self.weights.shape}.")
        # ||c||^2 / 2 a centroid: the nearest centroid is the one with the largest <y, c> - ||c||^2 / 2; with weights w,
        # <y, w c> - <c, w c> / 2.
        weighed = self.codebooks if self.weights is None else self.codebooks * self.weights.reshape(m, 1, width)
        half_norms = (0.5 * np.einsum("mkw,mkw->mk", self.codebooks, weighed)).astype(np.float32)
        object.__setattr__(self, "_half_norms", half_norms[:, None, :])
        object.__setattr__(self, "rotated_mean", (self.rotation @ self.mean).astype(np.float32))
        object.__setattr__(self, "_columns", np.ascontiguousarray(weighed.transpose(0, 2, 1)))

    @property
    def dim(self) -> int:
        return int(self.mean.shape[0])

    @property
    def rotated_dim(self) -> int:
        """Numbers in the rotated space: `dim`, or a bit more where the code size does not divide it."""
        return int(self.rotation.shape[0])

    @property
    def code_size(self) -> int:
        """Bytes a code."""
        return int(self.codebooks.shape[0])

    def rotate(self, vectors: Vectors) -> Vectors:
        """Return R (x - mean) for each row: `(n, p) float32`, distances kept."""
        rotated: Vectors = (self._rows(vectors) - self.mean).dot(self.rotation.T)
        return rotated

    def encode(self, vectors: Vectors) -> Codes:
        """Return the codes of `vectors` `(n, d) float32` as `(n, m) uint8`."""
        rotated = self.rotate(vectors)
        codes = np.empty((len(rotated), self.code_size), dtype=np.uint8)
        for start in range(0, len(rotated), ENCODE_ROWS):
            piece = rotated[start : start + ENCODE_ROWS]
            parts = piece.reshape(len(piece), self.code_size, -1).transpose(1, 0, 2)
            codes[start : start + len(piece)] = self._nearest(parts).T
        return codes

    def encode_one(self, vector: Vectors) -> bytes:
        """Return the code of `vector` `(d,) float32`: bit for bit that of `encode`, with less ado, since a frame has one."""
        if vector.shape != self.mean.shape:
            raise InputError(f"vector: expected ({self.dim},) float32, got {vector.shape}.")
        rotated = self.rotation.dot(np.asarray(vector, np.float32) - self.mean)
        return self._nearest(rotated.reshape(self.code_size, 1, -1)).astype(np.uint8).tobytes()

    def decode_rotated(self, codes: Codes) -> Vectors:
        """Return the centroids that `codes` `(n, m) uint8` name, in the rotated space: `(n, p) float32`."""
        if codes.ndim != 2 or codes.shape[1] != self.code_size or codes.dtype != np.uint8:
            raise InputError(f"codes: expected (n, {self.code_size}) uint8, got {codes.shape} {codes.dtype}.")
        # Row 256 i + byte of the joined codebooks is subspace i's centroid; `take` is several times faster than indexing.
        rows = codes + CENTROIDS * np.arange(self.code_size)
        centroids = self.codebooks.reshape(-1, self.codebooks.shape[2]).take(rows, axis=0)
        return centroids.reshape(len(codes), self.rotated_dim)

    def decode(self, codes: Codes) -> Vectors:
        """Return the embeddings that `codes` `(n, m) uint8` stand for: `(n, d) float32`, not normalised."""
        decoded: Vectors = self.decode_rotated(codes) @ self.rotation + self.mean
        return decoded

    def to_bytes(self) -> bytes:
        """Return the codec as a file's bytes (format above)."""
        plain = self.rotated_dim == self.dim and self.weights is None
        weights = np.ones(self.rotated_dim) if self.weights is None else self.weights
        packed: bytes = msgpack.packb(
            {
                "format": FORMAT if plain else FORMAT_2,
                "d": self.dim,
                **({} if plain else {"p": self.rotated_dim, "weights": weights.astype("<f4").tobytes()}),
                "m": self.code_size,
                "mean": self.mean.astype("<f4").tobytes(),
                "rotation": self.rotation.astype("<f4").tobytes(),
                "codebooks": self.codebooks.astype("<f4").tobytes(),
            }
        )
        return packed

    @classmethod
    def from_bytes(cls, data: bytes) -> Codec:
        """Read a codec file's bytes, whose digest the caller has verified; raises BundleCorrupt."""
        try:
            fields = msgpack.unpackb(data)
            if fields["format"] not in (FORMAT, FORMAT_2):
                raise BundleCorrupt(f"codec file: expected format {FORMAT} or {FORMAT_2}, got {fields['format']!r}.")
            d, m = fields["d"], fields["m"]
            if not (isinstance(d, int) and isinstance(m, int) and 0 < d <= MAX_DIM and 0 < m <= d):
                raise BundleCorrupt(f"codec file: expected d <= {MAX_DIM} and m <= d, got d={d!r}, m={m!r}.")
            p = fields["p"] if fields["format"] == FORMAT_2 else d
            if p != padded_dim(d, m):
                raise BundleCorrupt(f"codec file: expected {padded_dim(d, m)} rotated numbers, got {p!r}.")
            return cls(
                mean=_floats(fields["mean"], (d,)),
                rotation=_floats(fields["rotation"], (p, d)),
                codebooks=_floats(fields["codebooks"], (m, CENTROIDS, p // m)),
                weights=_weights(fields["weights"], p) if fields["format"] == FORMAT_2 else None,
            )
        except (ValueError, KeyError, TypeError, InputError, msgpack.UnpackException) as error:
            raise BundleCorrupt(f"codec file: expected the codec's msgpack map, got {error!r}.") from error

    def _nearest(self, parts: Vectors) -> NDArray[np.intp]:
        """Return for each of `parts` `(m, n, p/m)` of rotated vectors the index of its nearest centroid: `(m, n)`."""
        affinity = parts @ self._columns
        affinity -= self._half_norms
        nearest: NDArray[np.intp] = affinity.argmax(axis=2)
        return nearest

    def _rows(self, vectors: Vectors) -> Vectors:
        if vectors.ndim != 2 or vectors.shape[1] != self.dim:
            raise InputError(f"vectors: expected (n, {self.dim}) float32, got {vectors.shape}.")
        return np.asarray(vectors, dtype=np.float32)


def padded_dim(dim: int, subspaces: int) -> int:
    """Return the smallest multiple of `subspaces` that holds `dim` numbers."""
    return -(-dim // subspaces) * subspaces


def _weights(data: bytes, count: int) -> Vectors | None:
    weights = _floats(data, (count,))
    return None if (weights == 1).all() else weights


def _floats(data: bytes, shape: tuple[int, ...]) -> Vectors:
    array = np.frombuffer(data, dtype="<f4").reshape(shape)
    if not np.isfinite(array).all():
        raise ValueError("numbers that are not finite")
    return array.astype(np.float32)
