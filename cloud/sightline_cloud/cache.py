"""The result cache: what a question found, for as long as its tenant's index has not changed."""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import NamedTuple

from sightline_shared.where import Where

MAX_ENTRIES = 100_000
# Counted for an entry besides its parts, and for each of these: what CPython takes for the objects (a test weighs them).
ENTRY_BYTES = 1200
HIT_BYTES = 136
CODE_BYTES = 56
TERM_BYTES = 400


class Question(NamedTuple):
    """All that a search's result depends on, besides the items; `generation` is the pairing id.

    `text` is what was added to the codes before the search, "" where nothing was.
    """

    tenant: str
    generation: bytes
    codes: tuple[bytes, ...]
    k: int
    where: Where
    text: str = ""


@dataclass(frozen=True, slots=True)
class Hit:
    """An item found by a code, before its metadata is read: what changes or is gone is never answered from here."""

    pk: int
    score: float
    code_index: int


Hits = tuple[Hit, ...]


class ResultCache:
    """The hits of recent questions, the longest unused going first. Safe between threads.

    An entry holds for one `version` of the tenant's index, any value that is another after each change. Whoever asks reads
    the version before searching: then an entry may be younger than it says, never older.
    """

    def __init__(self, max_bytes: int, *, max_entries: int = MAX_ENTRIES) -> None:
        """`max_bytes` 0 keeps nothing."""
        self._max_bytes, self._max_entries = max_bytes, max_entries
        self._entries: OrderedDict[Question, tuple[Hashable, Hits, int]] = OrderedDict()
        self._lock = threading.Lock()
        self._bytes = 0
        self._counts: Counter[tuple[str, str]] = Counter()

    def get(self, question: Question, version: Hashable) -> Hits | None:
        """Return what `question` found at `version`, or None; what another version found is dropped."""
        with self._lock:
            entry = self._entries.get(question)
            if entry and entry[0] == version:
                self._entries.move_to_end(question)
                self._counts[question.tenant, "hits"] += 1
                return entry[1]
            if entry:
                self._remove(question)
            self._counts[question.tenant, "misses"] += 1
            return None

    def put(self, question: Question, version: Hashable, hits: Hits) -> None:
        """Keep a whole result, never a partial one; what takes more than the cache may hold is not kept."""
        size_bytes = _size_bytes(question, hits)
        if size_bytes > self._max_bytes:
            return
        with self._lock:
            if question in self._entries:
                self._remove(question)
            self._entries[question] = (version, hits, size_bytes)
            self._bytes += size_bytes
            while self._bytes > self._max_bytes or len(self._entries) > self._max_entries:
                oldest = next(iter(self._entries))
                self._remove(oldest)
                self._counts[oldest.tenant, "evictions"] += 1

    def forget(self, tenant: str) -> int:
        """Drop everything of `tenant`; returns how many entries there were."""
        with self._lock:
            own = [question for question in self._entries if question.tenant == tenant]
            for question in own:
                self._remove(question)
            return len(own)

    def stats(self, tenant: str | None = None) -> dict[str, int]:
        """Return what of `tenant`, or of all, is kept, and what happened since the start."""
        with self._lock:
            sizes = [entry[2] for question, entry in self._entries.items() if tenant in (None, question.tenant)]
            happened = {"hits": 0, "misses": 0, "evictions": 0}
            for (whose, what), count in self._counts.items():
                happened[what] += count if tenant in (None, whose) else 0
            return {"entries": len(sizes), "bytes": sum(sizes), **happened}

    def _remove(self, question: Question) -> None:
        self._bytes -= self._entries.pop(question)[2]


def _size_bytes(question: Question, hits: Hits) -> int:
    codes = sum(CODE_BYTES + len(code) for code in question.codes)
    values = sum(len(values) for _, values in question.where.terms)
    return ENTRY_BYTES + codes + 4 * len(question.text) + TERM_BYTES * values + HIT_BYTES * len(hits)
