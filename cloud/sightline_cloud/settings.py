"""The service's settings: one frozen object, checked when it is made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sightline_shared.errors import ConfigInvalid
from sightline_shared.protocol import MAX_DEADLINE_MS


@dataclass(frozen=True)
class Settings:
    """Everything that an operator can set.

    Sizes are bytes, times milliseconds unless the name says seconds. `ivf_min_vectors`: a tenant with at least so many
    items gets an IVF index instead of an exact one. `rescore`: how many of the IVF's candidates are scored again from
    their stored vectors. `network_ms`: what is held back from a query's deadline for the way there and back, at most a
    quarter of it; an answer that leaves at the deadline arrives after the caller has given up.
    """

    data_dir: Path = Path("sightline-data")
    bundle_dir: Path | None = None
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
    poll_seconds: float = 0.3

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
        _in_range("poll_seconds", self.poll_seconds, 0.01, 60)

    @property
    def database(self) -> Path:
        return self.data_dir / "catalogue.sqlite"


def _in_range(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ConfigInvalid(f"{name}: expected {low} to {high}, got {value}.")
