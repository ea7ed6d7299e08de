"""The service's settings: one frozen object, checked when it is made."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from sightline_cloud.shards.placement import MAX_SHARDS
from sightline_shared.errors import ConfigInvalid
from sightline_shared.protocol import MAX_DEADLINE_MS


@dataclass(frozen=True)
class Settings:
    """Everything that an operator can set.

    Sizes are bytes, times milliseconds unless the name says seconds. `database_url`: a postgresql:// URL for the
    catalogue in place of the data folder's SQLite file; it may hold a password and is never printed. `ivf_min_vectors`:
    a tenant with at least so many items gets an IVF index instead of an exact one. `rescore`: how many of the IVF's
    candidates are scored again from their stored vectors. `list_coder`: what IVF lists hold, "rabitq", "fastscan" (both
    trained at the build) or "pq" (the bundle's codes); indexes that hold another are built again at the next start.
    `filter_keys`: the metadata that filters may name. `index_ram_bytes`: what indexes may take of RAM, lists that do
    not fit stay on the SSD; None: all in RAM. `snapshots_kept`: old ones for a rollback. `compact_share`: an index is
    compacted when its delta and tombstones are this share of it. `build_threads`: cores that a build may use.
    `network_ms`: what is held back from a query's deadline for the way there and back, at most a quarter of it; an
    answer that leaves at the deadline arrives after the caller has given up. `shards`: into how many parts each index
    is divided, by the items' ids, each searched by threads of its own. `min_shards`: the share of them that must answer
    in time; with fewer a query is refused. `housekeeping_seconds`: how often the service looks for indexes to compact
    and lists to move between RAM and SSD. `cache_mb`: what the result cache may hold, 0 switches it off.
    """

    data_dir: Path = Path("sightline-data")
    database_url: str = field(default="", repr=False)
    bundle_dirs: tuple[Path, ...] = ()
    host: str = "127.0.0.1"
    port: int = 8765
    max_item_bytes: int = 16 * 1024 * 1024
    max_deadline_ms: int = 10_000
    network_ms: int = 50
    search_threads: int = 2
    embed_threads: int = 1
    ivf_min_vectors: int = 40_000
    nprobe: int = 24
    rescore: int = 100
    list_coder: str = "rabitq"
    filter_keys: tuple[str, ...] = ("category", "available", "brand", "colour")
    index_ram_bytes: int | None = None
    snapshots_kept: int = 2
    compact_share: float = 0.05
    build_threads: int = 1
    poll_seconds: float = 0.3
    housekeeping_seconds: float = 30
    shards: int = 1
    min_shards: float = 0.5
    cache_mb: int = 64

    def __post_init__(self) -> None:
        _in_range("port", self.port, 0, 65_535)
        _in_range("max_item_bytes", self.max_item_bytes, 1024, 64 * 1024 * 1024)
        _in_range("max_deadline_ms", self.max_deadline_ms, 1, MAX_DEADLINE_MS)
        _in_range("network_ms", self.network_ms, 0, 10_000)
        _in_range("search_threads", self.search_threads, 1, 256)
        _in_range("embed_threads", self.embed_threads, 1, 256)
        _in_range("ivf_min_vectors", self.ivf_min_vectors, 1000, 10**9)
        _in_range("nprobe", self.nprobe, 1, 65_536)
        _in_range("rescore", self.rescore, 1, 10_000)
        _in_range("index_ram_bytes", self.index_ram_bytes or 0, 0, 1 << 50)
        _in_range("snapshots_kept", self.snapshots_kept, 0, 100)
        _in_range("compact_share", self.compact_share, 0.001, 10)
        _in_range("build_threads", self.build_threads, 1, 256)
        _in_range("poll_seconds", self.poll_seconds, 0.01, 60)
        _in_range("housekeeping_seconds", self.housekeeping_seconds, 0.05, 86_400)
        _in_range("shards", self.shards, 1, MAX_SHARDS)
        _in_range("min_shards", self.min_shards, 0.01, 1)
        _in_range("cache_mb", self.cache_mb, 0, 1_000_000)

    @property
    def database(self) -> Path:
        return self.data_dir / "catalogue.sqlite"

    @property
    def index_dir(self) -> Path:
        """Where the snapshots are: <pairing id>/<shard>-of-<shards>/<tenant>/<snapshot>."""
        return self.data_dir / "index"


def _in_range(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ConfigInvalid(f"{name}: expected {low} to {high}, got {value}.")
