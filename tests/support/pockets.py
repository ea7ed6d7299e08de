"""Pocket indexes as a service would hold them, for tests."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from sightline_edge import Device
from sightline_edge.pocket import PocketIndex
from sightline_shared import pocket_file
from sightline_shared.pocket_file import Identity, Pocket

DIM, SIZE = 256, 64


def vectors(count: int, seed: int = 0) -> np.ndarray:
    found = np.random.default_rng(seed).normal(size=(count, DIM)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def state(
    device: Device, pks: range | list[int], *, seq: int = 1, metadata: Callable[[int], dict] = lambda pk: {}, **identity
) -> Pocket:
    """What a service would hold: item i<pk> has the code of its own random vector."""
    fields = {
        "pairing_id": device.bundle.pairing.id,
        "catalogue": bytes(16),
        "tenant": "shop",
        "filter_keys": ("colour", "size"),
    }
    codes = (
        device.codec.encode(np.concatenate([vectors(1, pk) for pk in pks]))
        if len(pks)
        else np.zeros((0, SIZE), np.uint8)
    )
    rows = [(f"i{pk}", *(metadata(pk).get(key) for key in ("title", *fields["filter_keys"]))) for pk in pks]
    columns = tuple(tuple(b"" if row[n] is None else json.dumps(row[n]).encode() for row in rows) for n in range(4))
    return Pocket(Identity(**{**fields, **identity}), f"v{seq}", seq, np.array(pks, np.int64), codes, columns)


def opened(path: Path, device: Device, held: Pocket) -> PocketIndex:
    pocket_file.write(path, held.to_bytes())
    return PocketIndex.open(path, device)
