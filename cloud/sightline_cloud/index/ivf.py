"""The large index: IVF with an HNSW graph over the centroids, the bundle's own codes in the lists.

Vectors are stored as the codes that the bundle's codec gives them (64 bytes and an 8-byte id each). The nearest
candidates by code are scored again from the vectors in the catalogue, so that scores are true cosines.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import faiss
import numpy as np
from numpy.typing import NDArray

from sightline_cloud.index.base import Ids, ReadWriteLock, Vectors
from sightline_shared.codec import Codec
from sightline_shared.errors import IndexFailed

HNSW_LINKS = 32
# faiss's default of 16 loses a good part of the lists that nprobe asks for.
COARSE_EF_SEARCH = 128
POINTS_PER_LIST = 39
MAX_TRAINING = 200_000
ADD_CHUNK = 65_536

# Returns the stored vectors of the ids that are still in the catalogue.
Fetch = Callable[[Sequence[int]], Mapping[int, NDArray[np.float32]]]


@dataclass(frozen=True)
class IvfSettings:
    """Lists probed for a query, and candidates scored again from their vectors."""

    nprobe: int
    rescore: int


class IvfIndex:
    """Approximate search: about 72 bytes of RAM a vector plus the centroids."""

    kind = "ivf"

    def __init__(self, vectors: Vectors, codec: Codec, fetch: Fetch, settings: IvfSettings, *, seed: int = 0) -> None:
        """Train the centroids on `vectors` `(n, d)`, which are not added; raises IndexFailed when they are too few."""
        lists = min(int(4 * math.sqrt(len(vectors))), len(vectors) // POINTS_PER_LIST)
        if lists < 1:
            raise IndexFailed(f"ivf: expected at least {POINTS_PER_LIST} vectors to train on, got {len(vectors)}.")
        sample = vectors
        if len(vectors) > MAX_TRAINING:
            sample = vectors[np.random.default_rng(seed).choice(len(vectors), MAX_TRAINING, replace=False)]
        kmeans = faiss.Kmeans(codec.rotated_dim, lists, niter=10, seed=seed)
        kmeans.train(codec.rotate(sample))
        # Kept on self: faiss holds only a raw pointer to its quantizer.
        self._quantizer = faiss.IndexHNSWFlat(codec.rotated_dim, HNSW_LINKS)
        self._quantizer.hnsw.efSearch = max(COARSE_EF_SEARCH, settings.nprobe)
        self._quantizer.add(kmeans.centroids)
        self._index = faiss.IndexIVFPQ(self._quantizer, codec.rotated_dim, lists, codec.code_size, 8)
        # Codes of the vectors themselves, not of what a centroid leaves over: the lists then hold the wire's codes.
        self._index.by_residual = False
        faiss.copy_array_to_vector(codec.codebooks.ravel(), self._index.pq.centroids)
        self._index.is_trained = True
        self._codec, self._fetch, self._settings = codec, fetch, settings
        self._lock = ReadWriteLock()

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def add(self, ids: Ids, vectors: Vectors) -> None:
        for start in range(0, len(ids), ADD_CHUNK):
            rotated = self._codec.rotate(vectors[start : start + ADD_CHUNK])
            with self._lock.writing():
                self._index.add_with_ids(np.ascontiguousarray(rotated), ids[start : start + ADD_CHUNK])

    def remove(self, ids: Ids) -> int:
        with self._lock.writing():
            return int(self._index.remove_ids(faiss.IDSelectorBatch(ids)))

    def search(self, queries: Vectors, k: int) -> tuple[Vectors, Ids]:
        wanted = max(k, self._settings.rescore)
        parameters = faiss.SearchParametersIVF(nprobe=min(self._settings.nprobe, self._index.nlist))
        with self._lock.reading():
            _, candidates = self._index.search(self._codec.rotate(queries), wanted, params=parameters)
        return self._rescored(queries, candidates, k)

    def _rescored(self, queries: Vectors, candidates: Ids, k: int) -> tuple[Vectors, Ids]:
        stored = self._fetch([int(pk) for pk in np.unique(candidates) if pk >= 0])
        scores = np.full((len(queries), k), -np.inf, np.float32)
        ids = np.full((len(queries), k), -1, np.int64)
        for row, (query, found) in enumerate(zip(queries, candidates, strict=True)):
            there = [int(pk) for pk in found if int(pk) in stored]
            if not there:
                continue
            cosines = np.stack([stored[pk] for pk in there]) @ query
            best = np.argsort(-cosines, kind="stable")[:k]
            scores[row, : len(best)] = cosines[best]
            ids[row, : len(best)] = np.array(there)[best]
        return scores, ids

    def codes(self) -> tuple[Ids, NDArray[np.uint8]]:
        """Return every id `(n,)` and its code `(n, m) uint8` as the lists hold them."""
        lists = self._index.invlists
        ids, codes = [], []
        for number in range(self._index.nlist):
            size = lists.list_size(number)
            if not size:
                continue
            ids.append(faiss.rev_swig_ptr(lists.get_ids(number), size).copy())
            held = faiss.rev_swig_ptr(lists.get_codes(number), size * lists.code_size).copy()
            codes.append(held.reshape(size, -1))
        return np.concatenate(ids), np.concatenate(codes)
