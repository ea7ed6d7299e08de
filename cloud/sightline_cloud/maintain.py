"""The service's own housekeeping: compacts what is due, moves lists between RAM and SSD, prunes the change log."""

from __future__ import annotations

import threading
import time
from typing import Any

from sightline_cloud.engine import Engine
from sightline_cloud.logs import log, log_failure
from sightline_cloud.operate.indexes import Part, parts
from sightline_cloud.operate.report import changes_of_snapshots
from sightline_shared.errors import IndexFailed, ServiceBusy, StoreError

# So much of the change log stays in any case, for indexes of other processes that follow it.
CHANGES_KEPT = 1_000_000


class Housekeeping:
    """One round at a time; `stop` ends the one that runs at its next step."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._stopping = threading.Event()
        self._counts = {"rounds": 0, "compactions": 0, "changes_pruned": 0}
        self._now: str | None = None
        self._pruned_to = 0

    def round(self) -> None:
        """Do what is due; raises StoreError, IndexFailed, when all of it has been tried."""
        failed: StoreError | IndexFailed | None = None
        for part in parts(self._engine):
            for tenant in part.indexes.due():
                try:
                    self._compact(part, tenant)
                except ServiceBusy:  # stopped
                    return
                except (StoreError, IndexFailed) as error:  # one tenant's trouble holds up no other
                    log_failure("compaction_failed", error, tenant=tenant, generation=part.generation, shard=part.shard)
                    failed = failed or error
            part.indexes.promote()
        prunable = self._prunable()
        if prunable > self._pruned_to:  # or it would be a write for nothing
            self._counts["changes_pruned"] += self._engine.store.prune_changes(prunable)
            self._pruned_to = prunable
        self._counts["rounds"] += 1
        if failed:
            raise failed

    def stop(self) -> None:
        """Have whatever runs end at its next step; a snapshot that is half written is removed at the next start."""
        self._stopping.set()

    def step(self, stage: str, share: float) -> None:
        """Take note of what is being done; raises ServiceBusy when the service stops. Give it to long work as `progress`."""
        self._now = f"{stage} {share:.0%}"
        if self._stopping.is_set():
            raise ServiceBusy("the service is stopping.")

    def stats(self) -> dict[str, Any]:
        """Return what was done since the start, and what is being done."""
        return {**self._counts, "now": self._now}

    def _compact(self, part: Part, tenant: str) -> None:
        began = time.perf_counter()
        log("compaction", tenant=tenant, generation=part.generation, shard=part.shard)
        try:
            part.indexes.compact(tenant, progress=self.step)
        finally:
            self._now = None
        self._counts["compactions"] += 1
        seconds = round(time.perf_counter() - began, 3)
        log("compacted", tenant=tenant, generation=part.generation, shard=part.shard, seconds=seconds)

    def _prunable(self) -> int:
        """Return the change up to which neither an index nor a snapshot, nor another process soon, needs the log."""
        positions = [part.indexes.seq for part in parts(self._engine)]
        snapshots = changes_of_snapshots(self._engine.settings.index_dir)
        return min([*positions, *snapshots, max(0, self._engine.store.position() - CHANGES_KEPT)])
