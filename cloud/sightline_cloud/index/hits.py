"""How often each list is asked for: what decides whether it is kept in RAM."""

from __future__ import annotations

import hashlib
from collections import deque
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sightline_cloud import crash
from sightline_cloud.index.base import Ids
from sightline_cloud.index.snapshot import sync

HALF_LIFE_SECONDS = 3600.0
# So many searches are counted together: counting one by one would take a thirtieth of each.
NOTED = 256


class Hits:
    """Decayed counts of queries by list; counting takes no lock, and may rarely lose one of two at the same moment."""

    def __init__(self, lists: int) -> None:
        self._counts: NDArray[np.float32] = np.zeros(lists, np.float32)
        self._ram_probes = self._ssd_probes = 0
        # Noted, not counted yet, and the lists that were in RAM meanwhile.
        self._noted: deque[Ids] = deque()
        self._hot: NDArray[np.bool_] = np.zeros(lists, bool)

    def note(self, numbers: Ids, hot: NDArray[np.bool_]) -> None:
        """Have a search's lists `(q, nprobe)`, -1 for none, counted; neither array is to be changed later."""
        if hot is not self._hot or len(self._noted) >= NOTED:
            self._count()
            self._hot = hot
        self._noted.append(numbers)

    @property
    def counts(self) -> NDArray[np.float32]:
        """The hits `(lists,)`."""
        self._count()
        return self._counts

    @property
    def ram_probes(self) -> int:
        """How often a list in RAM was looked into."""
        self._count()
        return self._ram_probes

    @property
    def ssd_probes(self) -> int:
        """How often a list on the SSD was looked into."""
        self._count()
        return self._ssd_probes

    def decay(self, elapsed_seconds: float) -> None:
        """Let what was counted before weigh less: half after an hour."""
        self._count()
        self._counts *= np.float32(0.5 ** (elapsed_seconds / HALF_LIFE_SECONDS))

    def inherit(self, old: Hits) -> None:
        """Begin with the counts of as many lists."""
        self._counts = old.counts.copy()

    def save(self, path: Path, snapshot: str) -> None:
        """Write the counts beside their snapshot, so that a restart finds its head in RAM again."""
        body = snapshot.encode() + self.counts.astype("<f4").tobytes()
        aside = path.with_suffix(".new")
        aside.write_bytes(hashlib.sha256(body).digest() + body)
        crash.point("hits: written")
        sync(aside)
        aside.replace(path)
        crash.point("hits: moved")
        sync(path.parent)

    def load(self, path: Path, snapshot: str) -> None:
        """Take over saved counts; those of another snapshot, or damaged ones, are left."""
        expected_bytes = 32 + len(snapshot) + self.counts.nbytes
        if not path.is_file() or path.stat().st_size != expected_bytes:
            return
        data = path.read_bytes()
        digest, body = data[:32], data[32:]
        if hashlib.sha256(body).digest() == digest and body.startswith(snapshot.encode()):
            self._counts = np.frombuffer(body[len(snapshot) :], "<f4").copy()

    def _count(self) -> None:
        # At most as many as there are now: others may go on noting.
        noted = [self._noted.popleft().ravel() for _ in range(len(self._noted))]
        if noted:
            asked = np.concatenate(noted)
            asked = asked[asked >= 0]
            np.add.at(self._counts, asked, 1)
            in_ram = int(np.count_nonzero(self._hot[asked]))
            self._ram_probes += in_ram
            self._ssd_probes += len(asked) - in_ram
