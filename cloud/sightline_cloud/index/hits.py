"""How often each list is asked for: what decides whether it is kept in RAM."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sightline_cloud import crash
from sightline_cloud.index.base import Ids
from sightline_cloud.index.snapshot import sync

HALF_LIFE_SECONDS = 3600.0


class Hits:
    """Decayed counts of queries by list; counting takes no lock, and may rarely lose one of two at the same moment."""

    def __init__(self, lists: int) -> None:
        self.counts: NDArray[np.float32] = np.zeros(lists, np.float32)
        self.ram_probes = 0
        self.ssd_probes = 0

    def note(self, numbers: Ids, hot: NDArray[np.bool_]) -> None:
        """Count a search's lists `(q, nprobe)`; -1 stands for none."""
        asked = numbers[numbers >= 0]
        np.add.at(self.counts, asked, 1)
        in_ram = int(np.count_nonzero(hot[asked]))
        self.ram_probes += in_ram
        self.ssd_probes += len(asked) - in_ram

    def decay(self, elapsed_seconds: float) -> None:
        """Let what was counted before weigh less: half after an hour."""
        self.counts *= np.float32(0.5 ** (elapsed_seconds / HALF_LIFE_SECONDS))

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
            self.counts = np.frombuffer(body[len(snapshot) :], "<f4").copy()
