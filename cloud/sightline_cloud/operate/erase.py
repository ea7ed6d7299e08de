"""Erasing items everywhere: catalogue, indexes, old snapshots, other generations' snapshots, caches. One receipt."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from functools import partial

from sightline_cloud.catalog.erase import Elsewhere, Receipt
from sightline_cloud.engine import Engine
from sightline_cloud.index.compact import tenant_folder
from sightline_cloud.logs import log, log_failure
from sightline_cloud.operate.indexes import parts
from sightline_shared.errors import IndexFailed, StoreError


def erase(engine: Engine, tenant: str, ids: Sequence[str]) -> Receipt:
    """Erase items and everything that was made of them; returns the receipt, whose `erased` has a line for each place.

    Raises StoreError, IndexFailed: then they never answer any more, and the next call erases what is left of them.
    """
    receipt = engine.store.erase(tenant, ids, _elsewhere(engine))
    engine.catch_up()
    return receipt


def finish_erasures(engine: Engine) -> None:
    """Erase what a crash has left of items that no longer answer. What cannot be erased now is logged, and left to the next erasure."""
    try:
        if numbers := engine.store.finish_erasures(_elsewhere(engine)):
            log("erasures_finished", numbers=numbers)
    except (StoreError, IndexFailed) as error:
        log_failure("erasures_left_open", error)


def _elsewhere(engine: Engine) -> dict[str, Elsewhere]:
    return {
        "snapshots": partial(_from_indexes, engine),
        "caches": lambda tenant, pks: [f"result cache: {engine.cache.forget(tenant)} answers of the tenant dropped"],
        "pockets": lambda tenant, pks: [f"pocket indexes: {engine.pockets.forget(tenant)} of the tenant dropped"],
    }


def _from_indexes(engine: Engine, tenant: str, pks: list[int]) -> list[str]:
    lines = [line for part in parts(engine) for line in part.indexes.erase(tenant, pks)] if pks else []
    live = {generation.key for generation in engine.generations.values()}
    for folder in sorted(engine.settings.index_dir.glob("*/*-of-*")):
        found = tenant_folder(folder, tenant)
        # Of a generation that is not open nothing can be built again: its snapshots go, and are made when it opens.
        if pks and folder.parent.name not in live and found.is_dir():
            shutil.rmtree(found)
            lines.append(f"snapshots of {folder.parent.name} {folder.name}, which is not open: removed")
    return lines
