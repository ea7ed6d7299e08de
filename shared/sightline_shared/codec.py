"""PCA-OPQ: the embedding as 64 bytes (32 and 96 as options), encoded and decoded in plain numpy.

Encoding a vector x of length d into m bytes:

1. y = R (x - mean), where R (d x d, orthonormal) holds the PCA axes in an order that spreads their eigenvalues
   evenly over m subspaces (parametric OPQ: Ge et al., CVPR 2013, section 3.2).
2. y is cut into m parts of d/m numbers; byte i is the index of the nearest of subspace i's 256 centroids
   (product quantization: Jegou et al., PAMI 2011).

Decoding looks the centroids up and applies the transpose. R is orthonormal, so distances in the rotated space
are distances between embeddings, and faiss's PQ over rotated vectors gives the same codes.

A codec file is one msgpack map: `{"format": 1, "d": int, "m": int, "mean": d x float32, "rotation": d*d x
float32, row-major, "codebooks": m*256*(d/m) x float32}`, all little-endian.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgpack
import numpy as np
from numpy.typing import NDArray

from sightline_shared.errors import BundleCorrupt, InputError

FORMAT = 1
CENTROIDS = 256
MAX_DIM = 4096

Vectors = NDArray[np.float32]
Codes = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Codec:
    """A trained codec: mean `(d,)`, rotation `(d, d)` and codebooks `(m, 256, d/m)`, all float32."""

    mean: Vectors
    rotation: Vectors
    codebooks: Vectors
    _half_norms: Vectors = field(init=False, repr=False)
    _columns: Vectors = field(init=False, repr=False)
    rotated_mean: Vectors = field(init=False, repr=False)  # R mean: turns rotate()'s centred vectors into R x

    def __post_init__(self) -> None:
        d, (m, centroids, width) = self.mean.shape[0], self.codebooks.shape
        if self.rotation.shape != (d, d) or centroids != CENTROIDS or m * width != d:
            raise InputError(
                f"codec: expected a ({d}, {d}) rotation and (m, {CENTROIDS}, {d}/m) codebooks, "
                f"got {self.rotation.shape} and {self.codebooks.shape}."
            )
        # ||c||^2 / 2 a centroid: the nearest centroid is the one with the largest <y, c> - ||c||^2 / 2.
        half_norms = (0.5 * np.einsum("mkw,mkw->mk", self.codebooks, self.codebooks)).astype(np.float32)
        object.__setattr__(self, "_half_norms", half_norms)
        object.__setattr__(self, "rotated_mean", (self.rotation @ self.mean).astype(np.float32))
        object.__setattr__(self, "_columns", np.ascontiguousarray(self.codebooks.transpose(0, 2, 1)))

    @property
    def dim(self) -> int:
        return int(self.mean.shape[0])

    @property
    def code_size(self) -> int:
        """Bytes a code."""
        return int(self.codebooks.shape[0])

    def rotate(self, vectors: Vectors) -> Vectors:
        """Return R (x - mean) for each row: `(n, d) float32`, distances kept."""
        rotated = (self._rows(vectors) - self.mean) @ self.rotation.T
        return rotated.astype(np.float32, copy=False)

    def encode(self, vectors: Vectors) -> Codes:
        """Return the codes of `vectors` `(n, d) float32` as `(n, m) uint8`."""
        rotated = self.rotate(vectors)
        parts = rotated.reshape(len(rotated), self.code_size, -1).transpose(1, 0, 2)
        affinity = parts @ self._columns - self._half_norms[:, None, :]
        return np.ascontiguousarray(affinity.argmax(axis=2).T.astype(np.uint8))

    def decode_rotated(self, codes: Codes) -> Vectors:
        """Return the centroids that `codes` `(n, m) uint8` name, in the rotated space: `(n, d) float32`."""
        if codes.ndim != 2 or codes.shape[1] != self.code_size or codes.dtype != np.uint8:
            raise InputError(f"codes: expected (n, {self.code_size}) uint8, got {codes.shape} {codes.dtype}.")
        # Row 256 i + byte of the joined codebooks is subspace i's centroid; `take` is several times faster than indexing.
        rows = codes + CENTROIDS * np.arange(self.code_size)
        centroids = self.codebooks.reshape(-1, self.codebooks.shape[2]).take(rows, axis=0)
        return centroids.reshape(len(codes), self.dim)

    def decode(self, codes: Codes) -> Vectors:
        """Return the embeddings that `codes` `(n, m) uint8` stand for: `(n, d) float32`, not normalised."""
        decoded: Vectors = self.decode_rotated(codes) @ self.rotation + self.mean
        return decoded

    def to_bytes(self) -> bytes:
        """Return the codec as a file's bytes (format above)."""
        packed: bytes = msgpack.packb(
            {
                "format": FORMAT,
                "d": self.dim,
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
            if fields["format"] != FORMAT:
                raise BundleCorrupt(f"codec file: expected format {FORMAT}, got {fields['format']!r}.")
            d, m = fields["d"], fields["m"]
            if not (0 < d <= MAX_DIM and 0 < m <= d and d % m == 0):
                raise BundleCorrupt(f"codec file: expected d <= {MAX_DIM} and m dividing d, got d={d}, m={m}.")
            return cls(
                mean=_floats(fields["mean"], (d,)),
                rotation=_floats(fields["rotation"], (d, d)),
                codebooks=_floats(fields["codebooks"], (m, CENTROIDS, d // m)),
            )
        except (ValueError, KeyError, TypeError, msgpack.UnpackException) as error:
            raise BundleCorrupt(f"codec file: expected the codec's msgpack map, got {error!r}.") from error

    def _rows(self, vectors: Vectors) -> Vectors:
        if vectors.ndim != 2 or vectors.shape[1] != self.dim:
            raise InputError(f"vectors: expected (n, {self.dim}) float32, got {vectors.shape}.")
        return np.asarray(vectors, dtype=np.float32)


def _floats(data: bytes, shape: tuple[int, ...]) -> Vectors:
    array = np.frombuffer(data, dtype="<f4").reshape(shape)
    if not np.isfinite(array).all():
        raise ValueError("numbers that are not finite")
    return array.astype(np.float32)
