"""Embeddings of photographs through the device's own code, each photograph once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sightline_bench.packs import Photo
from sightline_edge import quality
from sightline_edge.runtimes import Runtime
from sightline_shared.preprocess import load_image, luma, to_tensor

BATCH = 16


@dataclass(frozen=True, eq=False)
class Embedded:
    """One photograph: int8 embedding `(d,) float32`, the float student's when it is at hand, frame quality."""

    int8: NDArray[np.float32]
    float32: NDArray[np.float32] | None
    quality: quality.Quality


def embed_all(
    photos: Iterable[Photo], student: Runtime, reference: Runtime | None, size: int, progress: Callable[[int], None]
) -> dict[Path, Embedded]:
    """Return every photograph's embeddings by path; `progress` is told how many were added."""
    paths = list(dict.fromkeys(photo.path for photo in photos))
    done: dict[Path, Embedded] = {}
    for start in range(0, len(paths), BATCH):
        chunk = paths[start : start + BATCH]
        tensors = np.stack([to_tensor(load_image(path), size) for path in chunk])
        # One by one, as on the device: ONNX Runtime may round a batch differently from a single frame.
        int8 = [student.embed(tensor[np.newaxis])[0] for tensor in tensors]
        exact = reference.embed(tensors) if reference else [None] * len(chunk)
        for path, tensor, fast, full in zip(chunk, tensors, int8, exact, strict=True):
            done[path] = Embedded(fast, full, quality.measure(luma(tensor)))
        progress(len(chunk))
    return done
