"""Everything that answers: catalogue, keys, and the live generations with their indexes, opened together."""

from __future__ import annotations

from contextlib import ExitStack
from functools import cached_property

from sightline_cloud.bundles import find_bundles
from sightline_cloud.cache import ResultCache
from sightline_cloud.catalog.database import Database
from sightline_cloud.catalog.generations import Generation
from sightline_cloud.catalog.store import Store
from sightline_cloud.fusion.late import Text
from sightline_cloud.fusion.tower import TextTower
from sightline_cloud.ingest.add import Ingest
from sightline_cloud.ingest.blocked import BlockedImages
from sightline_cloud.live import LiveGeneration
from sightline_cloud.lock import hold
from sightline_cloud.logs import log
from sightline_cloud.pocket.pockets import Pockets
from sightline_cloud.policy.router import PolicyRouter
from sightline_cloud.pressure import Level, Pressure
from sightline_cloud.rank.build import build as build_ranking
from sightline_cloud.rank.metadata import Weights
from sightline_cloud.rank.stages import Ranking
from sightline_cloud.settings import Settings
from sightline_cloud.tenancy.auth import Keys
from sightline_cloud.tenancy.gate import Gate, limits_of
from sightline_cloud.tenancy.watch import Watch
from sightline_shared.bundle import Bundle
from sightline_shared.errors import ConfigInvalid
from sightline_shared.versions import check_pairing


class Engine:
    """One data folder with the bundles that it pairs with. Commands use it directly, the service behind HTTP."""

    def __init__(self, settings: Settings, *bundles: Bundle, owner: str = "") -> None:
        """Open or create the data folder for `bundles`, else those of the settings; the first is the primary one.

        Whoever uses `indexes` is the folder's `owner`, a name for others who want to be: there is one at a time, since
        indexes write snapshots. Raises BundleError, StoreError, VersionMismatch, and ConfigInvalid for two bundles of
        one pairing id.
        """
        self.settings = settings
        with ExitStack() as held:
            if owner:
                held.enter_context(hold(settings.data_dir, owner))
            self._open(settings, bundles)
            self._held = held.pop_all()

    def _open(self, settings: Settings, bundles: tuple[Bundle, ...]) -> None:
        opened = bundles or find_bundles(settings.bundle_dirs)
        by_id = {bundle.pairing.id: bundle for bundle in opened}
        if len(by_id) < len(opened):
            raise ConfigInvalid(
                f"bundles: expected a pairing id each, got {', '.join(f'{b.label} ({b.pairing.id.hex()})' for b in opened)}."
            )
        where = settings.database_url or settings.database
        self.database = Database(where, [Generation.of(bundle) for bundle in opened])
        self.store = Store(self.database, recent_bytes=settings.item_cache_mb * 1024 * 1024)
        self.keys = Keys(self.database)
        self.gate = Gate(
            self.keys,
            limits_of(settings),
            shards=settings.shards,
            failures_per_minute=settings.failed_keys_per_minute,
        )
        self.blocked = BlockedImages(self.database, bits=settings.blocked_bits)
        self.watch = Watch(
            items=settings.scraping_items,
            novel_share=settings.scraping_novel_share,
            unanswered_share=settings.scraping_unanswered_share,
        )
        self.generations = {key: LiveGeneration(bundle, self.store, settings) for key, bundle in by_id.items()}
        self.policy = PolicyRouter.open(settings.data_dir)
        self.pressure = Pressure(settings.search_threads, at_most=Level(settings.degrade_at_most), moved=_log_step)
        self.cache = ResultCache(settings.cache_mb * 1024 * 1024)
        self.pockets = Pockets(self.store, settings)
        self.primary = self.generations[opened[0].pairing.id]

    def generation(self, pairing_id: bytes) -> LiveGeneration:
        """Return the generation whose codes a query with this pairing id holds; raises VersionMismatch."""
        check_pairing(pairing_id, self.generations)
        return self.generations[pairing_id]

    @cached_property
    def tower(self) -> TextTower | None:
        """The text tower, None without one. Raises BundleError, and VersionMismatch for one of another bundle."""
        folder = self.settings.text_tower
        return TextTower.open(folder, self.generations) if folder else None

    @cached_property
    def ranking(self) -> Ranking:
        """The stages of the settings, with the tower; commands that answer nothing need neither."""
        return build_ranking(
            self.settings.rank_stages,
            weights=Weights(
                category=self.settings.category_weight,
                freshness=self.settings.freshness_weight,
                stock=self.settings.stock_weight,
                price=self.settings.price_weight,
                max_bonus=self.settings.max_bonus,
            ),
            duplicate_min_cosine=self.settings.duplicate_min_cosine,
            group_key=self.settings.group_key,
            per_video=self.settings.per_video,
            diversity_weight=self.settings.diversity_weight,
            text=Text(
                self.tower,
                keys=self.settings.text_keys,
                words=self.settings.text_words,
                meaning=self.settings.text_meaning,
            ),
        )

    @cached_property
    def ingest(self) -> Ingest:
        return Ingest(self.store, list(self.generations.values()), self.blocked)

    def catch_up(self) -> None:
        """Bring the indexes of every generation up to the catalogue; raises StoreError, IndexFailed."""
        for live in self.generations.values():
            live.indexes.catch_up()

    def gaps(self) -> list[str]:
        """Return a line for people about each live generation that does not know all items yet."""
        return [
            f"{kind.label} ({kind.pairing_id}) cannot find {kind.missing} of {kind.items + kind.missing} items, which "
            "have no vector of it yet; 'sightline index backfill' gives them one"
            for kind in self.store.coverage()
            if kind.missing and bytes.fromhex(kind.pairing_id) in self.generations
        ]

    def close(self) -> None:
        for live in self.generations.values():
            live.close()
        self.database.close()
        self._held.close()


def _log_step(old: Level, new: Level, why: str) -> None:
    log("degraded" if new > old else "recovering", level=int(new), step=new.name.lower(), why=why)
