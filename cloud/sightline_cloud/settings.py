"""The service's settings: one frozen object, checked when it is made."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from sightline_cloud.pressure import Level
from sightline_cloud.shards.placement import MAX_SHARDS
from sightline_shared.errors import ConfigInvalid
from sightline_shared.pocket_file import MAX_ITEMS
from sightline_shared.protocol import MAX_DEADLINE_MS


@dataclass(frozen=True)
class Settings:
    """Everything that an operator can set.

    Sizes are bytes, times milliseconds unless the name says seconds. `database_url`: a postgresql:// URL for the
    catalogue in place of the data folder's SQLite file; it may hold a password and is never printed. `ivf_min_vectors`:
    a tenant with at least so many items gets an IVF index instead of an exact one. `rescore`: how many of the IVF's
    candidates are scored again from their stored vectors. `list_coder`: what IVF lists hold, "rabitq", "fastscan" (both
    trained at the build) or "pq" (the bundle's codes); indexes that hold another are built again at the next start.
    `filter_keys`: the metadata that filters may name. `pocket_items`: items of the catalogue's head that a device carries
    with it, at most. `index_ram_bytes`: what indexes may take of RAM, lists that do
    not fit stay on the SSD; None: all in RAM. `snapshots_kept`: old ones for a rollback. `compact_share`: an index is
    compacted when its delta and tombstones are this share of it. `build_threads`: cores that a build may use.
    `network_ms`: what is held back from a query's deadline for the way there and back, at most a quarter of it; an
    answer that leaves at the deadline arrives after the caller has given up. `shards`: into how many parts each index
    is divided, by the items' ids, each searched by threads of its own. `min_shards`: the share of them that must answer
    in time; with fewer a query is refused. `housekeeping_seconds`: how often the service looks for indexes to compact
    and lists to move between RAM and SSD. `cache_mb`: what the result cache may hold, 0 switches it off;
    `item_cache_mb`: likewise items as they were last read, until anything in the catalogue changes (SQLite only).
    `degrade_at_most`: how many steps down the degrade ladder it may go under pressure (pressure.py), 0: none.
    `rank_stages`: what is done to the found items, in this order (rank/build.py). `category_weight`, `freshness_weight`,
    `stock_weight`, `price_weight`: what an item's metadata may add to its cosine at most, `max_bonus` all together: what is
    closer by more than that is never overtaken. `duplicate_min_cosine`: items that are closer to each other are one; above 1
    only those are that share the metadata key `group_key`. `per_video`: matches that one video may have.
    `text_tower`: the folder of a text tower ('sightline export text'), None: a text counts by its words alone. `text_keys`: the
    metadata that a text is compared with. `text_words`, `text_meaning`: what the words and the meaning that a text and an item
    share add to the item's cosine at most. `text_early`: the weight of the text's vector that is added to the query before the
    search, 0: none. `diversity_weight`: the weight of relevance, against novelty, in the stage "diversity".
    `admin_port` and `admin_host`: where /v1/admin/* is, and nowhere else; None: the port after `port`, and a free one when
    that is 0. `key_per_second`, `key_burst`, `key_cost_per_minute`: what a key without limits of its own may do
    (tenancy/limits.py), 0: no limit. `failed_keys_per_minute`: so many wrong keys an address may send. `header_seconds`,
    `body_seconds`: how long a request's head, and its body, may take to arrive. `max_connections`: more are answered 503.
    `scraping_items`, `scraping_novel_share`, `scraping_unanswered_share`: when a key is suspected (tenancy/watch.py).
    `blocked_bits`: in how many bits of its perceptual hash an upload may differ from a blocked picture and still be it.
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
    pocket_items: int = 10_000
    index_ram_bytes: int | None = None
    snapshots_kept: int = 2
    compact_share: float = 0.05
    build_threads: int = 1
    poll_seconds: float = 0.3
    housekeeping_seconds: float = 30
    shards: int = 1
    min_shards: float = 0.5
    cache_mb: int = 64
    item_cache_mb: int = 64
    degrade_at_most: int = 6
    rank_stages: tuple[str, ...] = ("metadata", "text", "duplicates")
    category_weight: float = 0.05
    freshness_weight: float = 0
    stock_weight: float = 0
    price_weight: float = 0
    max_bonus: float = 0.1
    duplicate_min_cosine: float = 0.97
    group_key: str = "item_group"
    per_video: int = 3
    diversity_weight: float = 0.9
    text_tower: Path | None = None
    text_keys: tuple[str, ...] = ("title", "name", "category", "brand", "colour", "description")
    text_words: float = 0.3
    text_meaning: float = 0.2
    text_early: float = 0
    admin_host: str = "127.0.0.1"
    admin_port: int | None = None
    key_per_second: float = 200
    key_burst: int = 400
    key_cost_per_minute: float = 60_000
    failed_keys_per_minute: int = 60
    header_seconds: float = 10
    body_seconds: float = 20
    max_connections: int = 1000
    scraping_items: int = 5000
    scraping_novel_share: float = 0.5
    scraping_unanswered_share: float = 0.9
    blocked_bits: int = 4

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
        _in_range("pocket_items", self.pocket_items, 1, MAX_ITEMS)
        _in_range("index_ram_bytes", self.index_ram_bytes or 0, 0, 1 << 50)
        _in_range("snapshots_kept", self.snapshots_kept, 0, 100)
        _in_range("compact_share", self.compact_share, 0.001, 10)
        _in_range("build_threads", self.build_threads, 1, 256)
        _in_range("poll_seconds", self.poll_seconds, 0.01, 60)
        _in_range("housekeeping_seconds", self.housekeeping_seconds, 0.05, 86_400)
        _in_range("shards", self.shards, 1, MAX_SHARDS)
        _in_range("min_shards", self.min_shards, 0.01, 1)
        _in_range("degrade_at_most", self.degrade_at_most, 0, len(Level) - 1)
        _in_range("cache_mb", self.cache_mb, 0, 1_000_000)
        _in_range("item_cache_mb", self.item_cache_mb, 0, 1_000_000)
        for name in ("category_weight", "freshness_weight", "stock_weight", "price_weight", "max_bonus"):
            _in_range(name, getattr(self, name), 0, 0.2)
        _in_range("duplicate_min_cosine", self.duplicate_min_cosine, 0.5, 1.01)
        for name in ("text_words", "text_meaning"):
            _in_range(name, getattr(self, name), 0, 1)
        _in_range("text_early", self.text_early, 0, 2)
        _in_range("per_video", self.per_video, 1, 50)
        _in_range("diversity_weight", self.diversity_weight, 0, 1)
        _in_range("admin_port", self.admin_port or 0, 0, 65_535)
        _in_range("key_per_second", self.key_per_second, 0, 1e9)
        _in_range("key_burst", self.key_burst, 1, 1e9)
        _in_range("key_cost_per_minute", self.key_cost_per_minute, 0, 1e9)
        _in_range("failed_keys_per_minute", self.failed_keys_per_minute, 0, 1_000_000)
        _in_range("header_seconds", self.header_seconds, 0.05, 600)
        _in_range("body_seconds", self.body_seconds, 0.05, 600)
        _in_range("max_connections", self.max_connections, 10, 1_000_000)
        _in_range("scraping_items", self.scraping_items, 1, 10**9)
        _in_range("scraping_novel_share", self.scraping_novel_share, 0, 1)
        _in_range("scraping_unanswered_share", self.scraping_unanswered_share, 0, 1)
        _in_range("blocked_bits", self.blocked_bits, 0, 16)

    @property
    def admin_door(self) -> int:
        """The port to open for operators; 0: a free one."""
        if self.admin_port is None:
            return self.port + 1 if 0 < self.port < 65_535 else 0
        return self.admin_port

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
