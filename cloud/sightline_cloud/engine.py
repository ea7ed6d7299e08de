"""Everything that answers: catalogue, indexes, model and keys, opened together."""

from __future__ import annotations

import threading
from functools import cached_property

from sightline_cloud.bundles import find_bundle
from sightline_cloud.catalog.database import Database
from sightline_cloud.catalog.store import Store
from sightline_cloud.index.tenants import TenantIndexes
from sightline_cloud.ingest.add import Ingest
from sightline_cloud.ingest.gallery_model import GalleryModel
from sightline_cloud.settings import Settings
from sightline_cloud.tenancy.auth import Keys
from sightline_shared.bundle import Bundle


class Engine:
    """One data folder with the bundle that it pairs with. Commands use it directly, the service behind HTTP."""

    def __init__(self, settings: Settings, bundle: Bundle | None = None) -> None:
        """Open or create the data folder; raises BundleError, StoreError, VersionMismatch."""
        self.settings = settings
        self.bundle = bundle or find_bundle(settings.bundle_dir)
        self.pairing_id = self.bundle.pairing.id
        self.codec = self.bundle.codec
        self.database = Database(settings.database, self.pairing_id)
        self.store = Store(self.database)
        self.keys = Keys(self.database)
        self._lock = threading.Lock()
        self._ingest: Ingest | None = None

    @cached_property
    def indexes(self) -> TenantIndexes:
        return TenantIndexes(self.store, self.codec, self.settings)

    @property
    def ingest(self) -> Ingest:
        """Loaded when it is first used: a service that only answers needs no model in memory."""
        with self._lock:
            if self._ingest is None:
                model = GalleryModel(self.bundle, threads=self.settings.embed_threads)
                self._ingest = Ingest(self.store, model, self.codec, self.bundle.manifest.input_size)
            return self._ingest

    def close(self) -> None:
        self.database.close()
