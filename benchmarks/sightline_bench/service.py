"""The real service for a benchmark or the demo: started in this process, filled through its own ingest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from rich.progress import Progress

from sightline_cloud.embedded import EmbeddedService
from sightline_cloud.ingest.add import AddReport
from sightline_cloud.ingest.reader import Entry, list_photos
from sightline_cloud.settings import Settings
from sightline_shared.bundle import Bundle


@dataclass(frozen=True)
class Gallery:
    """The photographs of one tenant; their ids are their places in the list, as text."""

    photos: Sequence[Path]
    metadata: Sequence[Mapping[str, Any]] = ()

    def entries(self) -> list[Entry]:
        metadata = self.metadata or [{}] * len(self.photos)
        return [
            Entry(str(i), path, dict(about)) for i, (path, about) in enumerate(zip(self.photos, metadata, strict=True))
        ]


@dataclass(frozen=True)
class Running:
    """A running service: where it answers, and a key and the ingest's report for each tenant."""

    url: str
    keys: dict[str, str] = field(default_factory=dict)
    reports: dict[str, AddReport] = field(default_factory=dict)
    ids: dict[str, list[str]] = field(default_factory=dict)


@contextmanager
def running(data: Path, bundle: Bundle, galleries: Mapping[str, Gallery | Path], bar: Progress) -> Iterator[Running]:
    """Start a service over the new folder `data`, with one tenant for each gallery (or folder, or manifest)."""
    # No result cache: what is asked twice is searched twice, and timed as a search.
    with EmbeddedService(Settings(data_dir=data, port=0, cache_mb=0), bundle) as service:
        run = Running(service.url)
        for tenant, gallery in galleries.items():
            entries = gallery.entries() if isinstance(gallery, Gallery) else list_photos(gallery)
            advance = partial(bar.advance, bar.add_task(f"indexing: {tenant}", total=len(entries)))
            run.keys[tenant] = service.engine.keys.add("bench", tenant=tenant)
            run.reports[tenant] = service.engine.ingest.add_photos(tenant, entries, progress=advance)
            run.ids[tenant] = [entry.id for entry in entries]
        service.engine.catch_up()
        yield run
