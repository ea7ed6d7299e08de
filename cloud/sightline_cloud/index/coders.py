"""What the lists of the large index hold of a vector: the bundle's own codes, or ones that faiss trains at the build."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import faiss
import numpy as np
from numpy.typing import NDArray

from sightline_cloud.index.base import Ids, Vectors
from sightline_shared.codec import Codec
from sightline_shared.errors import ConfigInvalid

CODERS = ("pq", "rabitq", "fastscan")
MAX_FAST_BYTES = 64
# To so many bits a number a query is rounded for RaBitQ; with faiss's 4 some answers are lost to it.
QUERY_BITS = 8


class ListCoder(Protocol):
    """How vectors go into lists. `matrix` `(p, d)` and `mean` `(d,)` give the space in which lists are: A (x - mean)."""

    name: ClassVar[str]
    # Whether lists can be searched where they lie on the SSD, and thus be there or in RAM one by one.
    mappable: ClassVar[bool]

    @property
    def mean(self) -> Vectors: ...

    @property
    def matrix(self) -> Vectors: ...

    def trained(self, quantizer: faiss.Index, sample: Vectors) -> faiss.IndexIVF:
        """Return an empty index over `quantizer`'s lists; `sample` `(n, p) float32` is what may be trained on."""
        ...

    def fill(self, index: faiss.IndexIVF, rows: Ids, vectors: Vectors, codes: NDArray[np.uint8]) -> None:
        """Add rows: `vectors` `(n, p) float32`, `codes` `(n, m) uint8` as the bundle's codec gave them."""
        ...


def coder_for(name: str, codec: Codec) -> ListCoder:
    """Return the coder called `name`; raises ConfigInvalid."""
    if name == "pq":
        return PqCoder(codec.mean, codec.rotation, codec)
    if name == "rabitq":
        return RabitqCoder(codec.mean, _random_rotation(codec.dim))
    if name == "fastscan":
        return FastScanCoder(codec.mean, codec.rotation, 2 * min(MAX_FAST_BYTES, codec.code_size))
    raise ConfigInvalid(f"list_coder: expected one of {CODERS}, got {name!r}.")


@dataclass(frozen=True, eq=False)
class PqCoder:
    """The wire's codes as they are, never encoded again: the codec may weigh errors as faiss does not."""

    mean: Vectors
    matrix: Vectors
    codec: Codec
    name: ClassVar[str] = "pq"
    mappable: ClassVar[bool] = True

    def trained(self, quantizer: faiss.Index, sample: Vectors) -> faiss.IndexIVF:
        index = faiss.IndexIVFPQ(quantizer, self.codec.rotated_dim, quantizer.ntotal, self.codec.code_size, 8)
        # Codes of the vectors themselves, not of what a centroid leaves over.
        index.by_residual = False
        faiss.copy_array_to_vector(self.codec.codebooks.ravel(), index.pq.centroids)
        index.is_trained = True
        return index

    def fill(self, index: faiss.IndexIVF, rows: Ids, vectors: Vectors, codes: NDArray[np.uint8]) -> None:
        _, lists = index.quantizer.search(vectors, 1)
        # A stand-alone code of faiss is the list's number, little-endian, and the vector's code.
        number_bytes = index.coarse_code_size()
        numbers = lists.astype("<i8").view(np.uint8).reshape(-1, 8)[:, :number_bytes]
        index.add_sa_codes(np.concatenate([numbers, codes], axis=1), rows)


@dataclass(frozen=True, eq=False)
class RabitqCoder:
    """A bit a dimension and two numbers (RaBitQ: Gao and Long, SIGMOD 2024), after the random rotation it asks for."""

    mean: Vectors
    matrix: Vectors
    name: ClassVar[str] = "rabitq"
    mappable: ClassVar[bool] = True

    def trained(self, quantizer: faiss.Index, sample: Vectors) -> faiss.IndexIVF:
        index = faiss.IndexIVFRaBitQ(quantizer, len(self.matrix), quantizer.ntotal)
        index.qb = QUERY_BITS
        index.train(sample)
        return index

    def fill(self, index: faiss.IndexIVF, rows: Ids, vectors: Vectors, codes: NDArray[np.uint8]) -> None:
        index.add_with_ids(vectors, rows)


@dataclass(frozen=True, eq=False)
class FastScanCoder:
    """4-bit PQ that is compared 32 vectors at a time (Andre et al., VLDB 2015); in RAM only.

    `parts`: at most so many subspaces; as many as divide the dimension.
    """

    mean: Vectors
    matrix: Vectors
    parts: int
    name: ClassVar[str] = "fastscan"
    mappable: ClassVar[bool] = False

    def trained(self, quantizer: faiss.Index, sample: Vectors) -> faiss.IndexIVF:
        dim = len(self.matrix)
        parts = next(parts for parts in range(min(self.parts, dim), 0, -1) if dim % parts == 0)
        index = faiss.IndexIVFPQFastScan(quantizer, dim, quantizer.ntotal, parts, 4)
        # Codes of what a centroid leaves over: far nearer to the vectors than codes of the vectors themselves.
        index.by_residual = True
        index.train(sample)
        return index

    def fill(self, index: faiss.IndexIVF, rows: Ids, vectors: Vectors, codes: NDArray[np.uint8]) -> None:
        # Never add_core, which fills these lists with nonsense.
        index.add_with_ids(vectors, rows)


def _random_rotation(dim: int) -> Vectors:
    rotation: Vectors = np.linalg.qr(np.random.default_rng(0).normal(size=(dim, dim)))[0].astype(np.float32)
    return rotation
