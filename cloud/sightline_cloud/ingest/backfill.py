"""Gives items that are in the catalogue already vectors of another generation, from the same photographs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sightline_cloud.catalog.store import Store
from sightline_cloud.ingest.add import BATCH, AddReport
from sightline_cloud.ingest.reader import Entry
from sightline_cloud.live import LiveGeneration
from sightline_shared.errors import InputError
from sightline_shared.preprocess import load_image


@dataclass
class BackfillReport(AddReport):
    """`added` items got a vector, `missing` still lack one; `passed` photographs were not needed, or are of no item."""

    passed: int = 0
    missing: int = 0


def backfill(
    store: Store,
    live: LiveGeneration,
    tenant: str,
    entries: Sequence[Entry],
    *,
    progress: Callable[[int], None] | None = None,
) -> BackfillReport:
    """Embed those of `entries` whose items lack a vector of `live`; a batch that is stored stays stored.

    So it can be interrupted and begun again. A photograph that cannot be read is reported and left out. `progress` is
    told how many were dealt with.
    """
    lacking = store.lacking(tenant, live.key)
    wanted = [entry for entry in entries if entry.id in lacking]
    report = BackfillReport(passed=len(entries) - len(wanted))
    if progress:
        progress(report.passed)
    for start in range(0, len(wanted), BATCH):
        chunk = wanted[start : start + BATCH]
        tensors: dict[str, NDArray[np.uint8]] = {}
        for entry in chunk:
            try:
                tensors[entry.id] = live.tensor(load_image(entry.path, name=str(entry.path)))
            except InputError as error:
                report.skip(entry, error)
        if tensors:
            embeddings = dict(zip(tensors, live.embed(list(tensors.values())), strict=True))
            report.added += store.add_vectors(tenant, live.key, embeddings)
        if progress:
            progress(len(chunk))
    report.missing = len(lacking) - report.added
    return report
