"""One generation's indexes in this process, in one shard or several, searched as one."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sightline_cloud.catalog.feed import Feed
from sightline_cloud.index.tenants import TenantIndexes
from sightline_cloud.settings import Settings
from sightline_cloud.shards.gather import Gather, Gathered
from sightline_cloud.shards.local import LocalShardPool
from sightline_cloud.shards.placement import slots_of
from sightline_cloud.shards.pool import Ask
from sightline_shared.codec import Codec

# Gives the feed of some slots; None means all.
FeedOf = Callable[[frozenset[int] | None], Feed]


class ShardedIndexes:
    """`shards` are the indexes of each shard, for what concerns one alone; the rest is about all of them together."""

    def __init__(self, feed_of: FeedOf, codec: Codec, settings: Settings, folder: Path) -> None:
        """Open or build the indexes under `folder`; raises StoreError, IndexFailed, ConfigInvalid."""
        count = settings.shards
        names = [f"{shard}-of-{count}" for shard in range(count)]
        _remove_others(folder, names)
        if settings.index_ram_bytes is not None:
            settings = dataclasses.replace(settings, index_ram_bytes=settings.index_ram_bytes // count)
        self.shards = tuple(
            TenantIndexes(feed_of(slots_of(shard, count)), codec, settings, folder / name, name=f"{folder.name} {name}")
            for shard, name in enumerate(names)
        )
        self._pool = LocalShardPool([[each] for each in self.shards], threads=settings.search_threads)
        self.gather = Gather(self._pool, min_share=settings.min_shards)

    def search(self, ask: Ask) -> Gathered:
        """Return the nearest items over all shards; raises ShardsMissing, IndexFailed, FilterInvalid."""
        return self.gather.search(ask)

    def kind(self, tenant: str) -> str:
        """Return what kind of index the tenant has, the first shard's where they differ: what its queries cost."""
        return self.shards[0].kind(tenant)

    def version(self, tenant: str) -> tuple[int, ...]:
        """Return what is another after every change of what the tenant's indexes answer."""
        return tuple(each.version(tenant) for each in self.shards)

    @property
    def seq(self) -> int:
        """The position in the change log up to which all shards know the catalogue."""
        return min(each.seq for each in self.shards)

    @property
    def trouble(self) -> str | None:
        """What stopped the last `catch_up`, None when it went well."""
        return next((each.trouble for each in self.shards if each.trouble), None)

    def catch_up(self) -> int:
        """Apply the change log in every shard, also after one has failed; returns how many changes there were.

        Raises the first shard's StoreError or IndexFailed.
        """
        applied, failed = 0, None
        for each in self.shards:
            try:
                applied += each.catch_up()
            except Exception as error:
                failed = failed or error
        if failed:
            raise failed
        return applied

    def stats(self) -> dict[str, dict[str, Any]]:
        """Return every tenant's figures, summed over the shards."""
        total: dict[str, dict[str, Any]] = {}
        for shard in self.shards:
            for tenant, figures in shard.stats().items():
                total[tenant] = _sum(total[tenant], figures) if tenant in total else figures
        return total

    def close(self) -> None:
        self._pool.close()
        for each in self.shards:
            each.close()


def _remove_others(folder: Path, names: list[str]) -> None:
    """Remove what another number of shards left: it cannot be used, and would keep what is erased later."""
    for path in folder.glob("*-of-*"):
        if path.name not in names:
            shutil.rmtree(path)


def _sum(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Add numbers and join lists; a text that differs, the kind of index, becomes "mixed"."""
    total = {**other, **one}
    for key in one.keys() & other.keys():
        if not isinstance(one[key], str):
            total[key] = one[key] + other[key]
        elif one[key] != other[key]:
            total[key] = "mixed"
    return total
