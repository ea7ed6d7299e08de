"""A data folder as the service leaves it: items in the catalogue, keys, and the index built."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline_bench.edge.pocket_items import shapes
from sightline_bench.retrieval.dataset import Dataset
from sightline_cloud.catalog.records import Embedding, NewItem
from sightline_cloud.engine import Engine
from sightline_cloud.settings import Settings
from sightline_cloud.settings_file import NAME
from sightline_shared.bundle import Bundle

TENANT = "bench"
SHOP = "skus"
KEYS = 4
CHUNK = 5_000
# Every query is searched, and no key is held back: else the benchmark would measure the cache, and the limits.
OPEN: dict[str, Any] = {"cache_mb": 0, "key_per_second": 0, "key_cost_per_minute": 0, "max_connections": 100_000}


def settings_of(folder: Path) -> Settings:
    return dataclasses.replace(Settings(data_dir=folder, port=0), **OPEN)


def fill(folder: Path, bundle: Bundle, dataset: Dataset) -> tuple[list[str], dict[str, object]]:
    """Put the data set's vectors into the new data folder `folder`; returns API keys, and what index it got.

    The settings that the service shall have are written there too.
    """
    folder.mkdir(parents=True)
    (folder / NAME).write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in OPEN.items()))
    engine = Engine(settings_of(folder), bundle, owner="the benchmark")
    try:
        for _ in engine.store.bulk_add(TENANT, _items(dataset, bundle), batch=CHUNK):
            pass
        stats = engine.primary.indexes.stats()[TENANT]
        keys = [engine.keys.add(f"load-{number}", tenant=TENANT) for number in range(KEYS)]
    finally:
        engine.close()
    return keys, {name: value for name, value in stats.items() if name != "snapshots"}


def query_codes(bundle: Bundle, queries: NDArray[np.float32]) -> list[bytes]:
    """Return the codes that a device would send for the embeddings `(q, d)`."""
    return [code.tobytes() for code in bundle.codec.encode(queries)]


def _items(dataset: Dataset, bundle: Bundle) -> Iterator[NewItem]:
    vectors, make, key = dataset.vectors(), shapes()[SHOP].make, bundle.pairing.id.hex()
    for start in range(0, len(vectors), CHUNK):
        held = vectors[start : start + CHUNK].astype(np.float32)
        for number, (vector, code) in enumerate(zip(held, bundle.codec.encode(held), strict=True), start):
            item_id, metadata = make(number)
            yield NewItem(item_id, {key: Embedding(vector, code.tobytes())}, metadata=metadata)
