"""The pocket index: the head of the catalogue on the device, searched without a network and kept up to date by one call.

    pocket = PocketIndex.open_or_empty("pocket.slp", device)
    matches = pocket.search(embedding, k=5)

One file, replaced whole or not at all: what interrupts a sync leaves the old one. shared/README.md describes it.
"""

from __future__ import annotations

import glob
import json
import math
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
from numpy.typing import NDArray

from sightline_edge.device import Device
from sightline_shared import pocket_file
from sightline_shared.codec import Codec
from sightline_shared.errors import FilterInvalid, InputError, PocketUnusable, VersionMismatch
from sightline_shared.pocket_columns import Column
from sightline_shared.pocket_file import Part, Pocket
from sightline_shared.protocol import MAX_ID_CHARS, Match
from sightline_shared.versions import check_pairing
from sightline_shared.where import Typed, Where, typed

PATH = "/v1/pocket"
Scores = NDArray[np.float32]


class PocketIndex:
    """Items of one tenant and one generation. Safe between threads, and between processes that share the file."""

    def __init__(self, path: Path, device: Device) -> None:
        """Make one without items, whose file is at `path` once it is filled; apps call `open` or `open_or_empty`."""
        self.path = path
        self.trouble: PocketUnusable | VersionMismatch | None = None
        self._codec, self._pairing_id = device.codec, device.bundle.pairing.id
        self._held: _Held | None = None
        self._asked = ""
        self._whole = False

    @classmethod
    def open(cls, path: str | Path, device: Device) -> PocketIndex:
        """Open the file at `path`; raises PocketUnusable, and VersionMismatch for one of another bundle."""
        index = cls(Path(path), device)
        index._held = index._read(pocket_file.read(index.path))
        return index

    @classmethod
    def open_or_empty(cls, path: str | Path, device: Device) -> PocketIndex:
        """Open the file if it is there and fit, else begin without items until the first sync; `trouble` says why."""
        try:
            return cls.open(path, device)
        except (PocketUnusable, VersionMismatch) as error:
            index = cls(Path(path), device)
            index.trouble = error
            return index

    def __len__(self) -> int:
        return len(self._held.pocket.pks) if self._held else 0

    @property
    def version(self) -> str:
        """The state of the catalogue that it holds, as the service names it; empty without one."""
        return self._held.pocket.version if self._held else ""

    @property
    def pairing_id(self) -> bytes:
        """Of the bundle whose codes it holds."""
        return self._pairing_id

    @property
    def tenant(self) -> str:
        """Whose items it holds; empty without any."""
        return self._held.pocket.identity.tenant if self._held else ""

    def search(self, embedding: Scores, k: int, where: Where | None = None) -> tuple[Match, ...]:
        """Return the min(k, matching) items nearest to `embedding` `(d,) float32`, best first, with their codes.

        Scores are cosines between the float query and the decoded items: as near to the true ones as the service's, and
        not to be re-ranked. Raises FilterInvalid for a key that it does not hold, InputError for another embedding's size.
        """
        if k < 1:
            raise InputError(f"k: expected 1 or more, got {k}.")
        held = self._held  # a sync may put another in its place meanwhile
        if held is None:
            return ()
        scores = held.cosines(embedding, self._codec)
        passing = held.passing(where) if where else np.arange(len(scores))
        best = passing[nearest(scores[passing], k)]
        return tuple(held.match(row, float(scores[row])) for row in best.tolist())

    def sync_request(self) -> str:
        """Return the path, with its query, to GET from the service; its answer goes to `apply`, and a 304 needs nothing."""
        self._asked = "" if self._whole else self.version
        asked = {"pairing": self._pairing_id.hex(), **({"have": self._asked} if self._asked else {})}
        return f"{PATH}?{urlencode(asked)}"

    def apply(self, data: bytes) -> bool:
        """Take over the service's answer; False when it was a delta that does not fit: ask once more, for all of it.

        The file is replaced first, then searches see the new items. Raises PocketUnusable, VersionMismatch, and leaves
        everything as it was.
        """
        part = Part.from_bytes(data)
        with _alone(self.path):
            there = self._on_disk()
            if there and there.version != self._asked and _is_newer(there, part):
                self._held = self._prepared(there)  # another process was quicker
                return True
            base = self._held.pocket if self._held else None
            try:
                fresh = part.onto(base)
            except PocketUnusable:
                if part.whole or self._whole:
                    raise
                self._whole = True
                return False
            held = self._prepared(fresh)
            pocket_file.write(self.path, data if part.whole else fresh.to_bytes())
        self._held, self._whole, self.trouble = held, False, None
        return True

    def _on_disk(self) -> Pocket | None:
        try:
            return Part.from_bytes(pocket_file.read(self.path)).onto(None)
        except PocketUnusable:
            return None

    def _read(self, data: bytes) -> _Held:
        return self._prepared(Part.from_bytes(data).onto(None))

    def _prepared(self, pocket: Pocket) -> _Held:
        check_pairing(pocket.identity.pairing_id, [self._pairing_id])
        if pocket.codes.shape[1] != self._codec.code_size:
            raise PocketUnusable(
                f"pocket index: expected codes of {self._codec.code_size} bytes, got {pocket.codes.shape[1]}."
            )
        return _Held.of(pocket, self._codec)


@dataclass(frozen=True, eq=False)
class _Held:
    """A state made ready for searches: `by_part` `(m, n) uint8` are its codes, a row for each subspace.

    `values` are the columns' cells as they read: ids, titles, and one column for each filter key.
    """

    pocket: Pocket
    values: tuple[list[Any], ...]
    by_part: NDArray[np.uint8]
    lengths: Scores

    @classmethod
    def of(cls, pocket: Pocket, codec: Codec) -> _Held:
        by_part = np.ascontiguousarray(pocket.codes.T)
        squares = ((codec.codebooks + _means(codec)[:, None, :]) ** 2).sum(axis=2)
        lengths = np.sqrt(_looked_up(squares, by_part))
        values = tuple(map(_values, pocket.columns))
        if not all(isinstance(item_id, str) and 0 < len(item_id) <= MAX_ID_CHARS for item_id in values[0]):
            raise PocketUnusable(f"pocket index: expected ids of 1 to {MAX_ID_CHARS} characters, got others.")
        return cls(pocket, values, by_part, np.maximum(lengths, 1e-12))

    def cosines(self, embedding: Scores, codec: Codec) -> Scores:
        """Return the cosines `(n,)` with `embedding` `(d,)`, from a table of 256 products for each subspace."""
        if embedding.shape != (codec.dim,):
            raise InputError(f"embedding: expected ({codec.dim},) float32, got {embedding.shape}.")
        means = _means(codec)
        # In the rotated space, where lengths and products are the same: R x = y + R mean for an item decoded from y.
        query = codec.rotate(embedding[np.newaxis])[0].reshape(means.shape) + means
        products = ((codec.codebooks + means[:, None, :]) @ query[:, :, None])[:, :, 0]
        return _looked_up(products, self.by_part) / (self.lengths * max(float(np.linalg.norm(query)), 1e-12))

    def match(self, row: int, score: float) -> Match:
        """Return the item in `row`; rounding must not make a cosine of more than 1."""
        item_id, *values = (column[row] for column in self.values)
        named = zip(("title", *self.pocket.identity.filter_keys), values, strict=True)
        metadata = {name: value for name, value in named if value is not None}
        return Match(item_id, min(score, 1.0), metadata, code=self.pocket.codes[row].tobytes())

    def passing(self, where: Where) -> NDArray[np.intp]:
        """Return the rows that `where` lets pass; raises FilterInvalid."""
        keys = self.pocket.identity.filter_keys
        passing = np.ones(len(self.lengths), bool)
        for key, values in where.terms:
            if key not in keys:
                raise FilterInvalid(f"where.{key}: expected one of the keys {sorted(keys)}, got {key!r:.80}.")
            one_of = np.zeros(len(self.lengths), bool)
            for value in values:
                one_of[self._by_value.get((key, value), [])] = True
            passing &= one_of
        return np.flatnonzero(passing)

    @cached_property
    def _by_value(self) -> dict[tuple[str, Typed], list[int]]:
        """The rows that have a value under a key; made when the first filter asks."""
        found: dict[tuple[str, Typed], list[int]] = defaultdict(list)
        for key, column in zip(self.pocket.identity.filter_keys, self.values[2:], strict=True):
            for row, value in enumerate(column):
                if value is not None:
                    found[key, typed(value)].append(row)
        return dict(found)


def nearest(scores: Scores, k: int) -> NDArray[np.intp]:
    """Return the places of the min(k, n) largest of `scores` `(n,)`, best first; of equal ones the first."""
    if k < len(scores):
        bar = np.partition(scores, len(scores) - k)[len(scores) - k]
        places = np.flatnonzero(scores >= bar)
    else:
        places = np.arange(len(scores))
    return places[np.argsort(-scores[places], kind="stable")][:k]


def _means(codec: Codec) -> Scores:
    return codec.rotated_mean.reshape(codec.code_size, -1)


def _looked_up(tables: Scores, columns: NDArray[np.uint8]) -> Scores:
    """Return the sums `(n,)` of what each item's bytes name in `tables` `(m, 256)`."""
    sums = np.zeros(columns.shape[1], np.float32)
    for table, column in zip(tables, columns, strict=True):
        sums += table.take(column)
    return sums


def _values(column: Column) -> list[Any]:
    """Return what the cells of a column say, None for an empty one; raises PocketUnusable."""
    try:
        values: list[Any] = json.loads(b"[%s]" % b",".join(cell or b"null" for cell in column))
    except (ValueError, RecursionError) as error:
        raise PocketUnusable(f"pocket index: expected cells of JSON, got {error!r:.200}.") from error
    if len(values) != len(column) or not all(map(_is_value, values)):
        raise PocketUnusable(
            "pocket index: expected cells of a text, a truth value or a number of 64 bits, got others."
        )
    return values


def _is_value(value: object) -> bool:
    if isinstance(value, int):
        return -(2**63) <= value < 2**64
    return value is None or isinstance(value, str) or (isinstance(value, float) and math.isfinite(value))


def _is_newer(there: Pocket, part: Part) -> bool:
    return there.identity == part.identity and there.seq > part.seq


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keep other processes from replacing the file meanwhile, where the system can."""
    try:
        import fcntl
    except ImportError:  # Windows: two that sync in the same moment may leave the older of two whole files
        yield
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.with_name(path.name + ".lock").open("a")
    except OSError as error:
        raise PocketUnusable(f"{path}: expected to write the pocket index, got '{error.strerror}'.") from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for left_by_a_crash in path.parent.glob(f".{glob.escape(path.name)}-*"):
            left_by_a_crash.unlink(missing_ok=True)
        yield
