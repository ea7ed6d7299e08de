"""Changes, queries, compactions, rollbacks and promotions at once: no error, nothing lost, nothing back from the dead.

`SIGHTLINE_SOAK_SECONDS` has it run for longer.
"""

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from support.galleries import clustered
from support.tiers import TENANT, K, Shop, queries

from sightline_cloud.index.filters import Postings
from sightline_shared.errors import IndexFailed
from sightline_shared.where import Where

PAUSE_SECONDS = 0.003
SECONDS = float(os.environ.get("SIGHTLINE_SOAK_SECONDS", "10"))
STABLE_ROWS = 4000
QUERIES = queries(200)
POOL = clustered(20_000, seed=50)
COLOURS = ("red", "blue")
# A mean over some hundred queries of 10 answers each wanders by about this much.
NOISE = 0.01


@dataclass
class Soak:
    """A shop under load, and what is known of its items for certain."""

    shop: Shop
    stop: threading.Event = field(default_factory=threading.Event)
    errors: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    # Items of the pool that are there for certain: added, caught up with, and not about to go.
    there: dict[int, np.ndarray] = field(default_factory=dict)
    # Items that are not to answer for certain: removed, or not available any more, and caught up with.
    gone: set[int] = field(default_factory=set)
    misses: list[float] = field(default_factory=list)

    def loop(self, work: Callable[[np.random.Generator], None], seed: int) -> threading.Thread:
        """Run `work` again and again in a thread until the end, or until something is wrong."""

        def run() -> None:
            rng = np.random.default_rng(seed)
            while not self.stop.is_set():
                try:
                    time.sleep(PAUSE_SECONDS)  # or ten threads that never wait leave the build no time at all
                    work(rng)
                except Exception as error:
                    self.errors.append(f"{work.__name__}: {error!r}")
                    self.stop.set()
                self.counts[work.__name__] = self.counts.get(work.__name__, 0) + 1

        return threading.Thread(target=run, name=work.__name__)

    def write(self, rng: np.random.Generator) -> None:
        """Add, replace, remove items and take some off sale."""
        feed, indexes = self.shop.feed, self.shop.indexes
        vectors = POOL[rng.integers(0, len(POOL), 12)]
        self.there.update(self._added(vectors))
        some = [int(pk) for pk in rng.permutation(list(self.there))[:14]]
        leaving = {pk: self.there.pop(pk) for pk in some} if len(self.there) > 500 else {}
        if leaving:
            removed, replaced, off = some[:6], some[6:10], some[10:]
            for pk in replaced:  # as the catalogue does: in one step for its readers
                with feed._lock:
                    feed.remove([pk])
                    feed.add(TENANT, leaving[pk][None], [{"colour": "red"}])
            feed.remove(removed)
            for pk in off:
                feed.update(pk, **feed.items[pk][3], available=False)
            indexes.catch_up()
            self.gone |= {*removed, *replaced, *off}

    def _added(self, vectors: np.ndarray) -> dict[int, np.ndarray]:
        pks = self.shop.add(vectors, [{"colour": str(COLOURS[row % 2])} for row in range(len(vectors))])
        self.shop.indexes.catch_up()
        return dict(zip(pks, vectors, strict=True))

    def write_another_tenant(self, rng: np.random.Generator) -> None:
        """Let a second tenant grow until its index becomes a large one, and shrink again."""
        feed = self.shop.feed
        own = [pk for pk, item in feed.items.copy().items() if item[0] == "other"]
        if len(own) > 1400:
            feed.remove(own[:900])
        feed.add("other", POOL[rng.integers(0, len(POOL), 40)])
        self.shop.indexes.catch_up()
        time.sleep(0.02)

    def ask_for_items(self, rng: np.random.Generator) -> None:
        """An item that is there before and after a search for it is found by it; nobody who was gone before it answers."""
        known = list(self.there.copy().items())
        pk, vector = known[int(rng.integers(len(known)))]
        gone = set(self.gone)
        # Some vectors of the pool are in the shop several times.
        (found,) = self.shop.search(vector[None], 3 * K)
        if dead := gone & set(found):
            raise AssertionError(f"{dead} answered after their removal")
        if pk in self.there and pk not in found:
            raise AssertionError(f"{pk} is lost")

    def ask_with_a_filter(self, rng: np.random.Generator) -> None:
        """As many as are asked for match, whatever is going on."""
        query = QUERIES[rng.integers(len(QUERIES))][None]
        gone = set(self.gone)
        (found,) = self.shop.search(query, K, Where.of({"colour": "blue"}))
        items = self.shop.feed.items.copy()
        colours = {items[pk][3]["colour"] for pk in found if pk in items}
        if len(found) != K or colours - {"blue"} or gone & set(found):
            raise AssertionError(f"{len(found)} items of the colours {colours}")

    def ask(self, rng: np.random.Generator) -> None:
        """Note how many of the nearest stable items a search misses."""
        self.misses.append(self.missed(QUERIES[rng.integers(len(QUERIES))]))

    def missed(self, query: np.ndarray) -> float:
        """Return the share of places that should have gone to a stable item that was not found."""
        cosines, pks = self.shop.indexes.search(TENANT, query[None], K)
        nearer = 1 + np.flatnonzero(self.stable @ query > cosines[0, -1] + 1e-5)  # their pks
        return len(set(nearer.tolist()) - set(pks[0].tolist())) / K

    def compact(self, rng: np.random.Generator) -> None:
        self.shop.indexes.compact(TENANT, retrain=bool(rng.random() < 0.3))
        for tenant in self.shop.indexes.due():
            self.shop.indexes.compact(tenant)

    def roll_back(self, rng: np.random.Generator) -> None:
        try:
            self.shop.indexes.rollback(TENANT)
        except IndexFailed as error:
            if "before the one that answers" not in error.message:
                raise
        time.sleep(0.5)

    def promote(self, rng: np.random.Generator) -> None:
        self.shop.indexes.promote()
        stats = self.shop.indexes.stats()
        assert stats[TENANT]["vectors"] >= STABLE_ROWS
        time.sleep(0.1)

    def verify(self, rng: np.random.Generator) -> None:
        if problems := self.shop.indexes.verify(only=TENANT):
            raise AssertionError("\n".join(problems))
        time.sleep(0.3)

    @property
    def stable(self) -> np.ndarray:
        return STABLE


STABLE = clustered(STABLE_ROWS).astype(np.float16).astype(np.float32)


def test_everything_at_once_loses_nothing_and_brings_nothing_back(tmp_path: Path) -> None:
    shop = Shop(tmp_path, list_coder="rabitq", index_ram_bytes=150_000, nprobe=12)
    shop.add(STABLE, [{"colour": COLOURS[row % 2]} for row in range(STABLE_ROWS)])
    shop.open()
    soak = Soak(shop)
    soak.there.update(soak._added(POOL[:600]))
    quiet = float(np.mean([soak.missed(query) for query in QUERIES]))
    works = (
        soak.write, soak.write_another_tenant, soak.ask_for_items, soak.ask_with_a_filter, soak.ask, soak.ask, soak.compact,
        soak.roll_back, soak.promote, soak.verify,
    )  # fmt: skip
    threads = [soak.loop(work, seed) for seed, work in enumerate(works)]
    for thread in threads:
        thread.start()
    soak.stop.wait(SECONDS)
    latest = time.monotonic() + 120
    while (
        not soak.errors and time.monotonic() < latest and min(soak.counts.get(work.__name__, 0) for work in works) < 2
    ):
        soak.stop.wait(0.1)
    soak.stop.set()
    for thread in threads:
        thread.join()
    busy, after = float(np.mean(soak.misses)), float(np.mean([soak.missed(query) for query in QUERIES]))
    print(
        f"{SECONDS:.0f} s: {soak.counts}, {len(soak.gone)} items gone; recall of stable items: "
        f"{1 - quiet:.4f} before, {1 - busy:.4f} under load ({len(soak.misses)} queries), {1 - after:.4f} after"
    )
    assert soak.errors == []
    assert len(soak.counts) == len(set(works)), "everything was done at least once"
    assert len(soak.misses) >= 100
    assert busy <= quiet + NOISE and after <= quiet + NOISE
    shop.indexes.catch_up()
    assert shop.indexes.verify() == []
    for vector, pk in [(vector, pk) for pk, vector in soak.there.items()][:300]:
        assert pk in shop.search(vector[None], 3 * K)[0]
    shop.open()
    assert shop.indexes.verify() == []
    assert not set(shop.search(QUERIES[:1], len(shop.feed.items))[0]) & soak.gone


def test_searches_hold_while_the_delta_grows_past_its_exact_size(tmp_path: Path) -> None:
    """The graph of the delta is read by some threads and grown by another."""
    shop = Shop(tmp_path)
    shop.add(STABLE[:1100])
    shop.open()
    soak = Soak(shop)
    soak.there.update(soak._added(POOL[:100]))

    def add(rng: np.random.Generator) -> None:
        soak.there.update(soak._added(POOL[rng.integers(0, len(POOL), 100)]))

    threads = [soak.loop(add, 1), soak.loop(soak.ask_for_items, 2), soak.loop(soak.ask_for_items, 3)]
    for thread in threads:
        thread.start()
    ends = time.monotonic() + 60
    while len(soak.there) < 3500 and not soak.errors and time.monotonic() < ends:
        soak.stop.wait(0.05)
    soak.stop.set()
    for thread in threads:
        thread.join()
    assert soak.errors == [] and len(soak.there) >= 3500
    assert shop.indexes.stats()[TENANT]["delta"] == len(soak.there)


def test_sizes_can_be_asked_for_while_new_values_come() -> None:
    postings, asked = Postings(["brand"]), 0
    more = threading.Thread(target=lambda: [postings.add([row], [{"brand": f"brand {row}"}]) for row in range(4000)])
    more.start()
    while more.is_alive():
        asked += postings.ram_bytes > 0
    more.join()
    assert asked > 1 and len(postings.matching(Where.of({"brand": "brand 3999"}))) == 1


def test_a_stream_of_searches_does_not_keep_a_change_waiting_for_ever(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.add(STABLE[:500])
    shop.open()
    soak = Soak(shop)
    soak.there.update({1: STABLE[0]})
    askers = [soak.loop(soak.ask_for_items, seed) for seed in range(8)]
    for thread in askers:
        thread.start()
    for number in range(50):
        assert shop.add(POOL[number : number + 1]) and shop.indexes.catch_up() == 1
    soak.stop.set()
    for thread in askers:
        thread.join()
    assert soak.errors == []
