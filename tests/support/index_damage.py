"""A sound data folder to damage, and what has to hold when it is opened afterwards."""

import hashlib
import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sightline_cloud.index.compact import tenant_folder
from sightline_cloud.index.snapshot import CURRENT, MANIFEST, read_manifest, sha256_of
from support import index_crashes as crashes
from support.index_crashes import CORNER, LARGE, SHOP, items, opened, stored

DATA_FILES = ("lists.faiss", "pks.i64", "vectors.f16", "postings.msgpack", "space.f32")
OTHER = "other large shop"
SETTINGS = {"index_ram_bytes": 60_000}  # so that there are hits, and lists on the SSD

Change = Callable[[Path], object]


def make_sound(data: Path) -> Path:
    """A data folder of two large tenants, the first with two snapshots, and of a small one; and the copies beside it."""
    store = crashes.filled(data)
    store.add(OTHER, items(*range(900, 1910)))
    store.database.close()
    shutil.copy(data / "c.sqlite", data.parent / "earlier.sqlite")
    store, indexes = opened(data, **SETTINGS)
    store.add(SHOP, items(*range(LARGE, LARGE + 30), available=True))
    store.remove(SHOP, crashes.ids(range(10)))
    indexes.compact(SHOP)
    indexes.search(SHOP, crashes.POOL[:50], 3)
    indexes.promote()
    store.remove(SHOP, crashes.ids(range(30, 35)))
    store.database.close()
    assert shop_in(data).joinpath(CURRENT).read_text() == "000002\n"
    return data


def shop_in(data: Path) -> Path:
    return tenant_folder(data / "index", SHOP)


def open_damaged(data: Path, caplog: pytest.LogCaptureFixture, *, go_on: bool = False) -> tuple[str, str]:
    """Start over a damaged folder, and fail unless all answers are right, also after what may come next (`go_on`).

    Returns "refused", "rebuilt" or "harmless", and what was said of it.
    """
    caplog.clear()
    with caplog.at_level(logging.INFO, "sightline"):
        store, indexes = opened(data, **SETTINGS)
    events = {record.message: getattr(record, "fields", {}) for record in caplog.records}
    catalogue = {tenant: stored(store, tenant) for tenant in (SHOP, OTHER, CORNER)}
    crashes.check_answers(indexes, catalogue, step=50)
    if go_on:
        named = indexes.verify()
        indexes.compact(SHOP)
        crashes.check_answers(indexes, catalogue, step=50)
        assert set(indexes.verify()) <= set(named), "what comes after is sound"
        store.database.close()
        store, indexes = opened(data, **SETTINGS)
        assert indexes.stats()[SHOP]["delta"] == 0, "opened from the new snapshot"
        crashes.check_answers(indexes, catalogue, step=50)
    store.database.close()
    if "snapshot_refused" in events:
        return "refused", events["snapshot_refused"]["reason"]
    return ("rebuilt" if "index_build" in events else "harmless"), ""


def flip(place: float) -> Change:
    def change(path: Path) -> None:
        data = bytearray(path.read_bytes())
        data[min(len(data) - 1, int(place * len(data)))] ^= 1
        path.write_bytes(data)

    return change


def forged(folder: Path, **fields: Any) -> None:
    """Change what a manifest says, with a digest that matches."""
    said = {**json.loads((folder / MANIFEST).read_text()), **fields}
    said = {key: value for key, value in said.items() if value is not ... and key != "digest"}
    digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
    (folder / MANIFEST).write_text(json.dumps({**said, "digest": digest}))


def signed(folder: Path) -> None:
    """Have the manifest name the files as they are now."""
    files = {path.name: {"bytes": path.stat().st_size, "sha256": sha256_of(path)} for path in folder.iterdir() if path.name != MANIFEST}  # fmt: skip
    forged(folder, files=files)


def files_of(folder: Path, **changed: Any) -> dict[str, Any]:
    return {name: changed.get(name.partition(".")[0], said) for name, said in read_manifest(folder).files.items()}
