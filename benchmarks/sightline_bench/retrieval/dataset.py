"""A data set on disk: vectors, held-out queries and their exact neighbours, made once and shared by every contender."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from sightline_bench.retrieval.growth import Growth
from sightline_bench.retrieval.photographs import Embeddings, embed, read_photos
from sightline_bench.retrieval.synthetic import Generator, Mixture
from sightline_bench.retrieval.truth import ExactSearch, two_nn
from sightline_edge import Device
from sightline_shared.errors import InputError

KINDS = ("synthetic", "real")
QUERIES = 1_000
NEIGHBOURS = 100
SEED = 0
Progress = Callable[[int], None]


@dataclass(frozen=True)
class Dataset:
    """A folder with vectors.npy `(n, d) float16`, queries.npy `(q, d) float32`, truth.npy `(q, 100) int64`, about.json."""

    folder: Path

    @cached_property
    def about(self) -> dict[str, Any]:
        about: dict[str, Any] = json.loads((self.folder / "about.json").read_text())
        return about

    def vectors(self) -> NDArray[np.float16]:
        """Return the vectors, mapped: they stay on disk."""
        vectors: NDArray[np.float16] = np.load(self.folder / "vectors.npy", mmap_mode="r")
        return vectors

    def queries(self) -> NDArray[np.float32]:
        queries: NDArray[np.float32] = np.load(self.folder / "queries.npy")
        return queries

    def truth(self) -> NDArray[np.int64]:
        truth: NDArray[np.int64] = np.load(self.folder / "truth.npy")
        return truth


def synthetic(cache: Path, n: int, progress: Progress, *, queries: int = QUERIES) -> Dataset:
    """Return the synthetic data set of `n` vectors, made into `cache` unless it is there."""
    mixture = Mixture(seed=SEED)
    folder = cache / f"synthetic-{n}"

    def fill(writing: Path) -> dict[str, Any]:
        generator = Generator(mixture)
        asked = generator.queries(queries)
        about = {"source": "synthetic", "mixture": asdict(mixture), "stated_dimension": mixture.rank, "real_share": 0.0}
        return about | _write(writing, n, asked, generator.chunks(n), progress)

    return _made(folder, fill)


def real(
    cache: Path, n: int, packs: Path, device: Device, views: int, progress: Progress, *, queries: int = QUERIES
) -> Dataset:
    """Return the data set of real embeddings, grown to `n`, made into `cache` unless it is there."""
    folder = cache / f"real-{n}-{views}-{_student(device)}"

    def fill(writing: Path) -> dict[str, Any]:
        found = embeddings(cache, packs, device, views, progress)
        growth = Growth(found.views, SEED)
        chosen = np.random.default_rng(SEED).permutation(len(found.queries))[:queries]
        about = {
            "source": "photographs of shopfloor and shopfloor_ood through the bundle's int8 student",
            "bundle": device.bundle.label,
            "photographs": found.views.shape[0],
            "views_each": views,
            "real_share": min(1.0, growth.real / n),
        }
        return about | _write(writing, n, found.queries[chosen], growth.chunks(n), progress)

    return _made(folder, fill)


def embeddings(cache: Path, packs: Path, device: Device, views: int, progress: Progress) -> Embeddings:
    """Return the photographs' embeddings, from `cache` when they are there."""
    file = cache / f"embeddings-{_student(device)}-{views}.npz"
    if not file.exists():
        cache.mkdir(parents=True, exist_ok=True)
        made = embed(packs, device, views, SEED, progress)
        writing = file.with_suffix(".writing.npz")
        np.savez(writing, views=made.views, queries=made.queries)
        writing.replace(file)
    with np.load(file) as held:
        return Embeddings(held["views"], held["queries"])


def steps(kind: str, n: int, packs: Path | None, views: int) -> int:
    """Return how many steps the making of a data set tells its progress bar; raises InputError."""
    if kind == "synthetic":
        return n
    if packs is None:
        raise InputError("real embeddings: expected the photographs' folder; set SIGHTLINE_PACKS or --packs.")
    gallery, asked = read_photos(packs)
    return n + len(gallery) * views + len(asked)


def _student(device: Device) -> str:
    """Return what names the device's student: another one sees the same photographs elsewhere, whatever else is in its bundle."""
    manifest = device.bundle.manifest
    return manifest.files[manifest.roles["student"]].sha256[:12]


def _made(folder: Path, fill: Callable[[Path], dict[str, Any]]) -> Dataset:
    if not (folder / "about.json").exists():
        writing = folder.with_name(folder.name + ".writing")
        shutil.rmtree(writing, ignore_errors=True)
        writing.mkdir(parents=True)
        about = fill(writing)
        (writing / "about.json").write_text(json.dumps(about, indent=1) + "\n")
        writing.replace(folder)
    return Dataset(folder)


def _write(
    folder: Path, n: int, queries: NDArray[np.float32], chunks: Iterator[NDArray[np.float32]], progress: Progress
) -> dict[str, Any]:
    first = next(chunks)
    vectors = open_memmap(folder / "vectors.npy", "w+", np.float16, (n, first.shape[1]))
    search = ExactSearch(queries, NEIGHBOURS)
    start = 0
    for chunk in chain([first], chunks):
        held = chunk.astype(np.float16)
        vectors[start : start + len(held)] = held
        # The truth is that of the float16 vectors: what every contender is given.
        search.add(held.astype(np.float32))
        start += len(held)
        progress(len(held))
    vectors.flush()
    np.save(folder / "queries.npy", queries)
    np.save(folder / "truth.npy", search.rows)
    return {
        "n": n,
        "dim": first.shape[1],
        "queries": len(queries),
        "two_nn": round(two_nn(search.scores), 2),
        "nearest_cosine": round(float(np.median(search.scores[:, 0])), 4),
        "tenth_cosine": round(float(np.median(search.scores[:, 9])), 4),
    }
