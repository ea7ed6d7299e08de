"""Builds a snapshot's files from the catalogue, in memory that does not grow with the vectors.

    rows of one consistent view -> pks, vectors, codes, postings -> centroids from a sample -> lists -> files

Vectors and codes go to the disk as they come, and are read again chunk by chunk to be put into lists. At the end the
lists alone are in memory, at about 72 bytes a vector.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

from sightline_cloud import crash
from sightline_cloud.catalog.feed import Snapshot
from sightline_cloud.index.base import Vectors
from sightline_cloud.index.coders import ListCoder
from sightline_cloud.index.filters import Postings
from sightline_cloud.index.main import LISTS, PKS, POSTINGS, VECTORS, write_space
from sightline_cloud.index.rerank import read_vectors
from sightline_cloud.index.tail import COARSE_EF_SEARCH, read_index
from sightline_shared.errors import IndexFailed

HNSW_LINKS = 32
POINTS_PER_LIST = 39
# Of a large catalogue's sample a list gets fewer points, so that lists stay short.
POINTS_PER_LIST_OF_SAMPLE = 16
MAX_TRAINING = 200_000
KMEANS_ROUNDS = 10
CHUNK_ROWS = 32_768
CODES = "codes.u8"  # gone when the lists are filled

Progress = Callable[[str, float], None]


@dataclass(frozen=True, eq=False)
class Trained:
    """An index with centroids and no rows, and how many rows there were when its centroids were trained."""

    index: faiss.IndexIVF
    rows: int


def write_files(
    folder: Path,
    snapshot: Snapshot,
    coder: ListCoder,
    filter_keys: Iterable[str],
    old: Trained | None,
    progress: Progress,
) -> int:
    """Write all files of a snapshot but its manifest; returns how many rows its centroids were trained on.

    `old`: centroids that may be used again. Raises IndexFailed for fewer rows than a list takes, StoreError.
    """
    dim = len(coder.mean)
    write_space(folder, coder.mean, coder.matrix)
    sample, count = _write_rows(folder, snapshot, filter_keys, progress)
    crash.point("build: rows written")
    trained = old
    if trained is None or not 0.5 <= count / trained.rows <= 2:
        progress("train", 0.0)
        trained = Trained(_train(_placed(coder, sample), count, coder), count)
    _fill(folder, trained.index, coder, dim, count, progress)
    faiss.write_index(trained.index, str(folder / LISTS))
    crash.point("build: lists written")
    (folder / CODES).unlink()
    return trained.rows


def emptied(folder: Path, rows: int) -> Trained:
    """Return the centroids of a snapshot that was verified, for another build."""
    index = read_index(folder / LISTS)
    index.reset()
    return Trained(index, rows)


def _write_rows(
    folder: Path, snapshot: Snapshot, filter_keys: Iterable[str], progress: Progress
) -> tuple[Vectors, int]:
    """Write pks, vectors, codes and postings.

    Returns at most MAX_TRAINING of the vectors `(n, d)`, drawn at random, and how many rows there are.
    """
    wanted = np.arange(snapshot.count)
    if snapshot.count > MAX_TRAINING:
        wanted = np.sort(np.random.default_rng(0).choice(snapshot.count, MAX_TRAINING, replace=False))
    postings, sample, count = Postings(filter_keys), [], 0
    with (
        (folder / PKS).open("wb") as pks,
        (folder / VECTORS).open("wb") as vectors,
        (folder / CODES).open("wb") as codes,
    ):
        for rows in snapshot.chunks:
            pks.write(rows.pks.astype("<i8").tobytes())
            vectors.write(rows.vectors.astype("<f2").tobytes())
            codes.write(rows.codes.tobytes())
            postings.add(range(count, count + len(rows)), rows.metadata)
            first, last = np.searchsorted(wanted, [count, count + len(rows)])
            sample.append(rows.vectors[wanted[first:last] - count])
            count += len(rows)
            progress("read", count / snapshot.count)
    if count + len(snapshot.damaged) != snapshot.count:
        raise IndexFailed(f"build: expected {snapshot.count} rows from the catalogue, got {count}.")
    (folder / POSTINGS).write_bytes(postings.to_bytes())
    return np.concatenate(sample).astype(np.float32), count


def _train(sample: Vectors, count: int, coder: ListCoder) -> faiss.IndexIVF:
    """Return an empty index with centroids from `sample` `(n, p)`, which lie where lists do."""
    lists = min(int(4 * math.sqrt(count)), count // POINTS_PER_LIST, len(sample) // POINTS_PER_LIST_OF_SAMPLE)
    if lists < 1:
        raise IndexFailed(f"build: expected at least {POINTS_PER_LIST} vectors to train on, got {len(sample)}.")
    kmeans = faiss.Kmeans(
        sample.shape[1], lists, niter=KMEANS_ROUNDS, seed=0, min_points_per_centroid=POINTS_PER_LIST_OF_SAMPLE
    )
    kmeans.train(sample)
    quantizer = faiss.IndexHNSWFlat(sample.shape[1], HNSW_LINKS)
    quantizer.hnsw.efSearch = COARSE_EF_SEARCH
    quantizer.add(kmeans.centroids)
    # The centroids alone while the coder trains: see _without_graph.
    index = coder.trained(faiss.downcast_index(quantizer.storage), sample)
    # The index keeps it alive from here on, and writes it with itself.
    quantizer.this.disown()
    index.quantizer, index.own_fields = quantizer, True
    return index


def _fill(folder: Path, index: faiss.IndexIVF, coder: ListCoder, dim: int, count: int, progress: Progress) -> None:
    size = (folder / CODES).stat().st_size // count
    with _without_graph(index):
        for start in range(0, count, CHUNK_ROWS):
            vectors = read_vectors(folder / VECTORS, dim, start, CHUNK_ROWS)
            codes = np.fromfile(folder / CODES, np.uint8, len(vectors) * size, offset=start * size).reshape(-1, size)
            coder.fill(index, np.arange(start, start + len(vectors)), _placed(coder, vectors.astype(np.float32)), codes)
            progress("fill", (start + len(vectors)) / count)


@contextmanager
def _without_graph(index: faiss.IndexIVF) -> Iterator[None]:
    """Have vectors find their lists by comparing all centroids.

    For many vectors at once that is one matrix product: it takes a fraction of the graph's time, and never misses.
    """
    graph = index.quantizer
    index.quantizer = faiss.downcast_index(graph).storage
    try:
        yield
    finally:
        index.quantizer = graph


def _placed(coder: ListCoder, vectors: NDArray[np.float32]) -> Vectors:
    placed: Vectors = np.ascontiguousarray((vectors - coder.mean) @ coder.matrix.T, np.float32)
    return placed
