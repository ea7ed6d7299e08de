"""Which shard owns which slots, and which nodes hold a shard: rendezvous hashing, so that growth moves little.

Every shard has a weight for every slot, and the heaviest shard owns it. One shard more takes the slots for which it is
the heaviest, about 1 in n + 1, and nothing moves between the others. Nodes hold shards in the same way.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sightline_cloud.catalog.slots import SLOTS
from sightline_shared.errors import ConfigInvalid

# A shard needs a few dozen slots: with fewer, chance makes the largest shard much larger than the mean.
MAX_SHARDS = 128


@functools.lru_cache(maxsize=8)
def owners(shards: int) -> NDArray[np.int64]:
    """Return the number of the shard that owns each slot, `(4096,) int64`; raises ConfigInvalid."""
    if not 1 <= shards <= MAX_SHARDS:
        raise ConfigInvalid(f"shards: expected 1 to {MAX_SHARDS}, got {shards}.")
    owned: NDArray[np.int64] = np.stack([_weights(f"shard {shard}") for shard in range(shards)]).argmax(axis=0)
    owned.setflags(write=False)
    return owned


def slots_of(shard: int, shards: int) -> frozenset[int] | None:
    """Return the slots of shard number `shard` out of `shards`; None, all of them, when there is one. Raises ConfigInvalid."""
    if not 0 <= shard < shards:
        raise ConfigInvalid(f"shard: expected 0 to {shards - 1}, got {shard}.")
    return None if shards == 1 else frozenset(np.flatnonzero(owners(shards) == shard).tolist())


def nodes_of(shard: int, nodes: Sequence[str], replicas: int) -> tuple[str, ...]:
    """Return the `replicas` different nodes that hold a shard, whatever the order of `nodes`; raises ConfigInvalid."""
    names = sorted(set(nodes))
    if not 1 <= replicas <= len(names):
        raise ConfigInvalid(f"replicas: expected 1 to {len(names)}, one a node, got {replicas}.")
    weights = {name: int(_weights(f"node {name}")[shard]) for name in names}
    return tuple(sorted(names, key=weights.__getitem__, reverse=True)[:replicas])


def _weights(name: str) -> NDArray[np.uint64]:
    return np.frombuffer(hashlib.shake_128(f"sightline {name}".encode()).digest(8 * SLOTS), "<u8")
