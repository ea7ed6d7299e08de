"""Answers of the service, kept on the device for repeated and near-repeated frames."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sightline_edge.answer import Answer, Outcome
from sightline_shared.budget import Clock
from sightline_shared.errors import ConfigInvalid
from sightline_shared.phash import hamming
from sightline_shared.where import Where

# What an entry costs beside the answer's own bytes: Python's objects, embedding, keys.
ENTRY_BYTES = 4096
# Of sensitive subjects nothing is kept, and what the deadline cut short may be better the next time.
KEPT = (Outcome.FOUND, Outcome.UNSURE, Outcome.NOT_FOUND)


@dataclass(frozen=True)
class Asked:
    """What was asked: who (`scope`: service, key and bundle), the codes in order, the filter, k, the text."""

    scope: bytes
    codes: tuple[bytes, ...]
    where: Where
    k: int
    text: str = ""


@dataclass(frozen=True, eq=False)
class _Entry:
    answer: Answer
    embedding: NDArray[np.float32]
    phash: int
    size_bytes: int
    until_s: float


class AnswerCache:
    """Bounded in bytes (the least recently used go first) and in time; safe in several threads and between clients.

    Another frame counts as nearly the same when its perceptual hash differs in at most `near_bits` of 64 bits *and* its
    embedding has a cosine of at least `near_cosine` to the earlier one; `near_bits=-1` asks for equal codes. What a near
    frame was answered is not always what this one will be (`sightline bench repeats`): clients show it, and ask.
    """

    def __init__(
        self,
        *,
        max_bytes: int = 1 << 20,
        keep_s: float = 30.0,
        near_bits: int = 4,
        near_cosine: float = 0.99,
        clock: Clock = time.monotonic,
    ) -> None:
        """Raises ConfigInvalid."""
        if max_bytes < 0 or keep_s < 0 or not -1 <= near_bits <= 64:
            raise ConfigInvalid(
                "cache: expected max_bytes and keep_s of at least 0 and near_bits in -1..64, "
                f"got {max_bytes}, {keep_s}, {near_bits}."
            )
        self._max_bytes, self._keep_s = max_bytes, keep_s
        self._near_bits, self._near_cosine = near_bits, near_cosine
        self._clock, self._lock = clock, threading.Lock()
        self._entries: OrderedDict[Asked, _Entry] = OrderedDict()
        self._versions: dict[bytes, Mapping[str, str]] = {}
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def exact(self, asked: Asked) -> Answer | None:
        """Return what the service said to the same codes."""
        with self._lock:
            entry = self._entries.get(asked)
            if entry is None:
                return None
            if entry.until_s <= self._clock():
                self._drop(asked)
                return None
            self._entries.move_to_end(asked)
            return entry.answer

    def near(self, asked: Asked, embedding: NDArray[np.float32], phash: int) -> Answer | None:
        """Return what the service said to the most similar frame that is near enough, embedding `(d,) float32`."""
        with self._lock:
            now, best, found = self._clock(), self._near_cosine, None
            for key, entry in self._entries.items():
                same = (key.scope, key.where, key.k, key.text) == (asked.scope, asked.where, asked.k, asked.text)
                if same and now < entry.until_s and hamming(entry.phash, phash) <= self._near_bits:
                    cosine = float(entry.embedding @ embedding)
                    if cosine >= best:
                        best, found = cosine, entry.answer
            return found

    def keep(self, asked: Asked, answer: Answer, embedding: NDArray[np.float32], phash: int) -> None:
        """Keep the service's answer; everything that an older state of its catalogue said is dropped."""
        with self._lock:
            if self._versions.get(asked.scope, answer.versions) != answer.versions:
                for key in [key for key in self._entries if key.scope == asked.scope]:
                    self._drop(key)
            self._versions[asked.scope] = answer.versions
            size = answer.body_bytes_down + sum(map(len, asked.codes)) + 4 * len(asked.text) + ENTRY_BYTES
            if answer.outcome not in KEPT or answer.partial or size > self._max_bytes:
                return
            if asked in self._entries:
                self._drop(asked)
            self._entries[asked] = _Entry(answer, embedding, phash, size, self._clock() + self._keep_s)
            self.size_bytes += size
            while self.size_bytes > self._max_bytes:
                self._drop(next(iter(self._entries)))

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()
            self._versions.clear()
            self.size_bytes = 0

    def _drop(self, asked: Asked) -> None:
        self.size_bytes -= self._entries.pop(asked).size_bytes
