"""Looks out for keys that harvest the catalogue: signals for the operator, nobody is refused for them.

What is kept of a key is a bitmap of hashed ids for each half of a sliding window, whose zeros tell how many different ones
there were (K.-Y. Whang et al., "A linear-time probabilistic counting algorithm", 1990): 8 KiB, whatever the key fetches.
"""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sightline_cloud.logs import log
from sightline_cloud.tenancy.auth import Caller

WINDOW_SECONDS = 600.0
BITS = 1 << 16
MAX_KEYS = 1000
# Below so many queries a share says nothing.
MIN_QUERIES = 200
# A query is novel when at least this share of what it was answered is new to the key.
NOVEL = 0.5


@dataclass
class Half:
    """What a key got in one half of the window."""

    began: float = -math.inf
    queries: int = 0
    novel: int = 0
    unanswered: int = 0
    bitmap: bytearray = field(default_factory=lambda: bytearray(BITS // 8))


@dataclass
class Watched:
    """One key: the half that is being filled, the one before, how many bits both have, and when it was last told of."""

    now: Half = field(default_factory=Half)
    before: Half = field(default_factory=Half)
    ones: int = 0
    told: float = -math.inf


class Watch:
    """Counts what each key is given; safe between threads.

    A key is suspected when in ten minutes it was given at least `items` different items and at least `novel_share` of its
    queries brought mostly new ones, or when at least `unanswered_share` of its queries found nothing, as codes made up at
    random do.
    """

    def __init__(
        self,
        *,
        items: int = 5000,
        novel_share: float = 0.5,
        unanswered_share: float = 0.9,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._items, self._novel_share, self._unanswered_share = items, novel_share, unanswered_share
        self._clock = clock
        self._keys: OrderedDict[tuple[str, str], Watched] = OrderedDict()
        self._lock = threading.Lock()
        self._signals: dict[str, int] = {}

    def saw(self, caller: Caller, ids: Sequence[str], *, answered: bool = True) -> None:
        """Count a query of `caller` that was given these items; `answered`: something was found."""
        with self._lock:
            watched = self._current(caller)
            half = watched.now
            half.queries += 1
            half.unanswered += not answered
            new = sum(_mark(half.bitmap, watched.before.bitmap, item_id) for item_id in ids)
            watched.ones += new
            half.novel += bool(ids) and new >= NOVEL * len(ids)
            found = self._suspected(watched)
            if found:
                watched.told = self._clock()
                self._signals[caller.tenant] = self._signals.get(caller.tenant, 0) + 1
        if found:
            log("scraping_suspected", tenant=caller.tenant, key=caller.name, **found)

    def stats(self, tenant: str) -> dict[str, Any]:
        """Return how often a key of `tenant` was suspected since the start, and each key's figures of now."""
        with self._lock:
            own = {name: _figures(watched) for (whose, name), watched in self._keys.items() if whose == tenant}
            return {"suspected": self._signals.get(tenant, 0), "keys": own}

    def _current(self, caller: Caller) -> Watched:
        who = (caller.tenant, caller.name)
        watched = self._keys.setdefault(who, Watched())
        self._keys.move_to_end(who)
        if len(self._keys) > MAX_KEYS:
            self._keys.popitem(last=False)
        age = self._clock() - watched.now.began
        if age >= WINDOW_SECONDS / 2:
            watched.before = watched.now if age < WINDOW_SECONDS else Half()
            watched.now = Half(began=self._clock())
            watched.ones = int.from_bytes(watched.before.bitmap, "big").bit_count()
        return watched

    def _suspected(self, watched: Watched) -> dict[str, Any] | None:
        if self._clock() - watched.told < WINDOW_SECONDS or watched.now.queries + watched.before.queries < MIN_QUERIES:
            return None
        found = _figures(watched)
        harvests = found["items"] >= self._items and found["novel_share"] >= self._novel_share
        return found if harvests or found["unanswered_share"] >= self._unanswered_share else None


def _mark(bitmap: bytearray, before: bytearray, item_id: str) -> bool:
    bit = hash(item_id) % BITS  # seeded anew in every process: nobody can choose ids that fall on one bit
    at, mask = bit // 8, 1 << bit % 8
    new = not (bitmap[at] | before[at]) & mask
    bitmap[at] |= mask
    return new


def _figures(watched: Watched) -> dict[str, Any]:
    halves = (watched.now, watched.before)
    queries = sum(half.queries for half in halves)
    return {
        "queries": queries,
        "items": round(BITS * math.log(BITS / max(1, BITS - watched.ones))),
        "novel_share": round(sum(half.novel for half in halves) / max(1, queries), 3),
        "unanswered_share": round(sum(half.unanswered for half in halves) / max(1, queries), 3),
    }
