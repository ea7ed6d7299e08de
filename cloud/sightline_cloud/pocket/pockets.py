"""Answers devices that bring their pocket index up to date, without knowing any of them.

A version says up to which change a device's rows were read and how far back they reach. The change log says what changed
since. What the device lacks follows from the two; it compares the result with its digest, and asks for the whole file should
it not be the one that was meant.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from sightline_cloud.catalog.store import Store
from sightline_cloud.pocket.head import Head, Wanted, read_head
from sightline_cloud.pocket.version import Version
from sightline_cloud.settings import Settings
from sightline_shared.errors import ChangesPruned, ConfigInvalid

# Heads that are kept in memory, about 3 MB each.
MAX_HEADS = 16
# After more changes than this (of all tenants: the log has one order for all) a device gets the whole file.
MAX_CHANGES = 20_000
# A version gets older with every change, of other tenants too. So old a one is made new, or the log would leave it behind.
REFRESH_CHANGES = 5_000
MAX_LIST_BYTES = 4 * 1024 * 1024


@dataclass(eq=False)
class _Kept:
    """A head that holds as long as nothing of its tenant has changed since change `known`."""

    head: Head
    wanted: Wanted
    known: int

    @cached_property
    def whole(self) -> bytes:
        return self.head.pocket.to_bytes()


class Pockets:
    """The heads of every tenant and generation, read when they are asked for. Safe between threads."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store, self._settings = store, settings
        self._heads: OrderedDict[tuple[str, str], _Kept] = OrderedDict()
        self._lock = threading.Lock()
        # One reads a tenant's head, the others wait for it.
        self._reading = [threading.Lock() for _ in range(MAX_HEADS)]

    def answer(self, tenant: str, generation: str, have: str) -> bytes | None:
        """Return what a device that has version `have` lacks: a delta, or the whole file; None when it lacks nothing.

        Raises StoreError, and ConfigInvalid when the operator's list cannot be read.
        """
        with self._reading[hash((tenant, generation)) % MAX_HEADS]:
            kept = self._current(tenant, generation)
            return self._lacking(kept, generation, Version.of(have))

    def forget(self, tenant: str) -> int:
        """Drop what is kept of `tenant`; returns how many heads that were."""
        with self._lock:
            own = [key for key in self._heads if key[0] == tenant]
            for key in own:
                del self._heads[key]
            return len(own)

    def _lacking(self, kept: _Kept, generation: str, have: Version | None) -> bytes | None:
        pocket, now = kept.head.pocket, kept.head.version
        if have is None or have.lineage != now.lineage or have.seq > now.seq:
            return kept.whole
        if have.digest == now.digest and now.seq - have.seq < REFRESH_CHANGES:
            return None
        changed = self._changed(generation, have.seq, pocket.identity.tenant)
        if changed is None:
            return kept.whole
        unseen = ~kept.head.listed & (pocket.pks < have.floor)
        delta = pocket.delta(np.isin(pocket.pks, changed) | unseen)
        # The whole file has at least its codes: that a delta is less can mostly be seen without making one.
        return delta if len(delta) < pocket.codes.nbytes or len(delta) < len(kept.whole) else kept.whole

    def _current(self, tenant: str, generation: str) -> _Kept:
        wanted = wanted_head(self._settings, tenant, self._settings.pocket_items)
        position = self._store.position()  # before the changes: when there are none, all up to it have been seen
        with self._lock:
            kept = self._heads.get((tenant, generation))
        if kept and kept.wanted == wanted and self._changed(generation, kept.known, tenant) == []:
            kept.known = max(kept.known, position)
            if kept.known - kept.head.version.seq >= REFRESH_CHANGES:
                kept = _Kept(kept.head.at(kept.known), wanted, kept.known)
        else:
            head = read_head(self._store.database, self._store.database.generation(generation), wanted)
            kept = _Kept(head, wanted, head.version.seq)
        with self._lock:
            self._heads[tenant, generation] = kept
            self._heads.move_to_end((tenant, generation))
            while len(self._heads) > MAX_HEADS:
                self._heads.popitem(last=False)
        return kept

    def _changed(self, generation: str, seq: int, tenant: str) -> list[int] | None:
        """Return which of the tenant's items changed after `seq`; None when that cannot be said."""
        try:
            changes = self._store.feed(generation).changes_since(seq, MAX_CHANGES)
        except ChangesPruned:
            return None
        return [change.pk for change in changes if change.tenant == tenant] if len(changes) < MAX_CHANGES else None


def wanted_head(settings: Settings, tenant: str, items: int) -> Wanted:
    """Return what the head of `tenant` is to hold: the operator's list comes from `pocket/<tenant>.ids` in the data folder."""
    listed = listed_ids(settings.data_dir / "pocket" / f"{tenant}.ids")
    return Wanted(tenant, items, listed[:items], settings.filter_keys)


def listed_ids(path: Path) -> tuple[str, ...]:
    """Return the ids in a file, one a line, most wanted first; none without a file. Raises ConfigInvalid."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_LIST_BYTES + 1)
        if len(data) > MAX_LIST_BYTES:
            raise ConfigInvalid(f"{path}: expected at most {MAX_LIST_BYTES} bytes of ids, got more.")
        return tuple(dict.fromkeys(filter(None, (line.strip() for line in data.decode().splitlines()))))
    except FileNotFoundError:
        return ()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigInvalid(f"{path}: expected item ids in UTF-8, one a line, got '{error}'.") from error
