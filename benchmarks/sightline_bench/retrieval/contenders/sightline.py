"""Sightline: the service's own index seam over a catalogue that is read from the vectors' file."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from sightline_bench.retrieval.contenders.base import Queries, Rows, Vectors, mapped, sampled
from sightline_bench.retrieval.feed import FILTER_KEYS, TENANT, NpyFeed
from sightline_cloud.index.tenants import TenantIndexes
from sightline_cloud.index.tiers import TieredIndex
from sightline_cloud.settings import Settings
from sightline_export.train_codec import train_codec
from sightline_shared import __version__
from sightline_shared.codec import Codec
from sightline_shared.where import Where

CODEC = "codec.bin"
CODEC_SAMPLE = 20_000
WIRE_BYTES = 64
RESCORE = 100


class Sightline:
    """One list coder ("rabitq", or "pq" or "fastscan" and the bytes of a code), with all lists in RAM or all on the SSD."""

    efforts = (4, 8, 16, 32, 64)
    reads_vectors = False  # the snapshot has its own

    def __init__(self, coder: str, *, ssd: bool = False) -> None:
        self.version = __version__
        name = coder.rstrip("0123456789")
        self.code_bytes = int(coder.removeprefix(name) or WIRE_BYTES)
        self.options = Settings(
            list_coder=name,
            rescore=RESCORE,
            filter_keys=FILTER_KEYS,
            index_ram_bytes=0 if ssd else None,
            ivf_min_vectors=1000,
        )
        self.settings: dict[str, Any] = {
            "effort": "nprobe",
            "list_coder": self.options.list_coder,
            "bytes of a wire code": self.code_bytes,
            "rescore": RESCORE,
            "lists": "on the SSD" if ssd else "in RAM",
            "filter_keys": len(FILTER_KEYS),
        }
        self._where: Where | None = None

    def build(self, vectors_file: Path, folder: Path, threads: int) -> None:
        sample = sampled(mapped(vectors_file), CODEC_SAMPLE)
        (folder / CODEC).write_bytes(train_codec(sample, self.code_bytes, iterations=8).to_bytes())
        faiss.omp_set_num_threads(threads)
        indexes(vectors_file, folder, self.options, threads)

    def open(self, vectors_file: Path, folder: Path) -> None:
        self.indexes, _ = indexes(vectors_file, folder, self.options)

    def search(self, queries: Queries, k: int, effort: int, threads: int = 1) -> Rows:
        set_nprobe(self.indexes, effort)
        if threads == 1:
            return self._search(queries, k)
        with ThreadPoolExecutor(threads) as pool:
            parts = pool.map(lambda part: self._search(part, k), np.array_split(queries, threads))
            return np.concatenate(list(parts))

    def restrict(self, passing: int | None) -> None:
        self._where = None if passing is None else Where.of({f"below_{passing}": True})

    def _search(self, queries: Queries, k: int) -> Rows:
        pks = self.indexes.search(TENANT, queries, k, self._where)[1]
        return np.where(pks < 0, -1, pks - 1)


def indexes(
    vectors_file: Path, folder: Path, options: Settings, threads: int = 1, later: Vectors | None = None
) -> tuple[TenantIndexes, NpyFeed]:
    """Return the index in `folder`, built unless it is there, and its catalogue, which may add the rows of `later`."""
    vectors = mapped(vectors_file)
    codec = Codec.from_bytes((folder / CODEC).read_bytes())

    def encode(rows: Vectors) -> NDArray[np.uint8]:
        # Only this coder looks at the wire's codes: the others make their own from the vectors.
        wanted = options.list_coder == "pq"
        return codec.encode(rows.astype(np.float32)) if wanted else np.zeros((len(rows), codec.code_size), np.uint8)

    feed = NpyFeed(vectors_file.parent.name, vectors, encode, vectors[:0] if later is None else later)
    return TenantIndexes(feed, codec, replace(options, build_threads=threads), folder, name="bench"), feed


def set_nprobe(indexes: TenantIndexes, nprobe: int) -> None:
    """Put another number in the place of the operator's setting, which is read when an index is opened."""
    index = indexes._live[TENANT].index
    if isinstance(index, TieredIndex):
        index.main._nprobe = nprobe


def create(argument: str) -> Sightline:
    coder, _, where = argument.partition(" ")
    return Sightline(coder, ssd=where == "ssd")
