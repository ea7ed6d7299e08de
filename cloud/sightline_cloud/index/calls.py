"""faiss's searches without its Python wrappers, which take as long as a tenth of a search."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import faiss
import numpy as np

from sightline_cloud.index.base import Ids, Vectors


def nearest(index: faiss.Index, queries: Vectors, k: int, parameters: Any = None) -> tuple[Vectors, Ids]:
    """Return distances and numbers `(q, k)` of what `index` finds for `queries` `(q, d)`, contiguous float32.

    -1 fills places without anything, which are the last ones. Raises RuntimeError, as faiss does.
    """
    distances, numbers = np.empty((len(queries), k), np.float32), np.empty((len(queries), k), np.int64)
    pointer = faiss.swig_ptr
    index.search_c(len(queries), pointer(queries), k, pointer(distances), pointer(numbers), parameters)
    return distances, numbers


class Parameters:
    """The parameters of searches, made anew when they are others than the last search's: they are dear to make."""

    def __init__(self, make: Callable[..., Any], effort: str) -> None:
        """`make`: one of faiss's classes, of which `effort` is a field."""
        self._make, self._effort = make, effort
        # Replaced as a whole: other threads read it.
        self._last: tuple[int, faiss.IDSelector | None, Any] = (0, None, None)

    def of(self, effort: int, selector: faiss.IDSelector | None) -> Any:
        """Return the parameters of a search among what `selector` lets pass; `effort` is at least 1."""
        last = self._last
        if last[0] != effort or last[1] is not selector:
            made = self._make(**{self._effort: effort, "sel": selector})
            self._last = last = effort, selector, made
        return last[2]
