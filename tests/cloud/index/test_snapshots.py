"""Snapshots: swapped in while queries run, kept for a rollback, opened after a restart, built again when they do not fit."""

import dataclasses
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from support.galleries import clustered, codec_of
from support.list_feed import ListFeed
from support.tiers import TENANT, K, Shop, queries

from sightline_cloud.catalog.feed import Rows, Snapshot
from sightline_cloud.index import snapshot
from sightline_cloud.index.compact import COMPARED_ROWS
from sightline_cloud.index.tenants import TenantIndexes
from sightline_shared.errors import ChangesPruned, IndexFailed
from sightline_shared.where import Where

QUERIES = queries(20)
ROWS = 1600


class CountingFeed(ListFeed):
    """Counts how often the whole catalogue was read, and how many rows one by one."""

    views = rows_read = 0

    @contextmanager
    def snapshot(self, tenant: str, chunk: int = 65_536) -> Iterator[Snapshot]:
        self.views += 1
        with super().snapshot(tenant, chunk) as view:
            yield view

    def rows(self, pks: Sequence[int]) -> Rows:
        self.rows_read += len(pks)
        return super().rows(pks)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """A shop whose every list is looked into and every candidate scored: answers are exact."""
    shop = Shop(tmp_path, nprobe=65_536, rescore=5000)
    shop.feed = CountingFeed(shop.codec)
    shop.add(clustered(ROWS), [{"colour": "red" if row % 2 else "blue"} for row in range(ROWS)])
    shop.open()
    return shop


def snapshots(shop: Shop) -> list[str]:
    names: list[str] = shop.indexes.stats()[TENANT]["snapshots"]
    return names


def is_right(shop: Shop) -> None:
    assert shop.search(QUERIES) == shop.exact(QUERIES)
    assert shop.indexes.verify() == []


def change(shop: Shop, seed: int) -> None:
    """Add, remove and change a few items."""
    rng = np.random.default_rng(seed)
    shop.add(clustered(30, seed=seed), [{"colour": "green"}] * 30)
    shop.feed.remove([int(pk) for pk in rng.permutation(list(shop.feed.items))[:20]])
    for pk in rng.permutation(list(shop.feed.items))[:5].tolist():
        shop.feed.update(pk, colour="black")
    shop.indexes.catch_up()


def test_compactions_swap_while_queries_run_and_no_answer_is_less_than_right(shop: Shop) -> None:
    stop, wrong, answered = threading.Event(), [], [0]
    true = shop.exact(QUERIES)

    def ask() -> None:
        while not stop.is_set():
            try:
                found = shop.search(QUERIES)
            except Exception as error:
                wrong.append(error)
                return
            if found != true:
                wrong.append(found)
            answered[0] += 1

    def asked_since(stage: str, share: float) -> None:
        before = answered[0]
        while answered[0] < before + 2 and threads_alive() and not wrong:
            pass_on.wait(0.01)

    pass_on = threading.Event()
    threads = [threading.Thread(target=ask) for _ in range(2)]

    def threads_alive() -> bool:
        return any(thread.is_alive() for thread in threads)

    for thread in threads:
        thread.start()
    try:
        versions = [shop.indexes.version(TENANT)]
        for retrain in (False, True, False):
            shop.indexes.compact(TENANT, retrain=retrain, progress=asked_since)
            versions.append(shop.indexes.version(TENANT))
        shop.indexes.rollback(TENANT)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not wrong
    assert len(set(versions)) == 4, "a swap is seen by who remembers answers"
    assert answered[0] > 10


@pytest.mark.parametrize("kept", [0, 1, 3])
def test_so_many_old_snapshots_are_kept_as_the_settings_say(tmp_path: Path, kept: int) -> None:
    shop = Shop(tmp_path, snapshots_kept=kept)
    shop.add(clustered(1100))
    shop.open()
    for number in range(2, 7):
        shop.indexes.compact(TENANT)
        first = max(1, number - kept)
        assert snapshots(shop) == [f"{name:06}" for name in range(first, number + 1)]
    (folder,) = [path for path in tmp_path.iterdir() if path.is_dir()]
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == snapshots(shop), "nothing else is left"


def test_a_rollback_answers_as_the_old_snapshot_with_all_changes_since(shop: Shop) -> None:
    for seed in (1, 2):
        change(shop, seed)
        shop.indexes.compact(TENANT)
    change(shop, 3)
    rows = {name: shop.indexes.workshop.snapshots(TENANT).manifest(name).count for name in snapshots(shop)}
    for name in ("000002", "000001"):
        assert shop.indexes.rollback(TENANT) == name
        assert shop.indexes.stats()[TENANT]["rows"] == rows[name], "the old one does answer"
        is_right(shop)
        assert [len(own) for own in shop.search(QUERIES, K, Where.of({"colour": "black"}))] == [K] * len(QUERIES)
        shop.open()
        assert shop.indexes.stats()[TENANT]["rows"] == rows[name], "and after a restart"
        is_right(shop)
    with pytest.raises(IndexFailed, match="before the one that answers"):
        shop.indexes.rollback(TENANT)
    is_right(shop)
    change(shop, 4)
    shop.indexes.compact(TENANT)
    assert snapshots(shop)[-1] == "000004", "the number of a snapshot that was left is not used again"
    is_right(shop)


def test_a_rollback_past_the_pruned_log_is_refused_and_changes_nothing(shop: Shop) -> None:
    change(shop, 1)
    shop.indexes.compact(TENANT)
    shop.feed.prune()
    change(shop, 2)
    before = shop.indexes.version(TENANT)
    with pytest.raises(ChangesPruned):
        shop.indexes.rollback(TENANT)
    assert shop.indexes.version(TENANT) == before
    shop.open()
    assert shop.indexes.workshop.snapshots(TENANT).current() == "000002"
    is_right(shop)


def test_a_restart_opens_the_snapshot_and_reads_only_what_came_since(shop: Shop) -> None:
    feed = shop.feed
    assert isinstance(feed, CountingFeed)
    feed.views = feed.rows_read = 0
    shop.open()
    assert (feed.views, feed.rows_read) == (0, COMPARED_ROWS), "those that are compared with the snapshot's"
    assert snapshots(shop) == ["000001"]
    fresh = shop.add(clustered(7, seed=9))
    feed.remove([1, 2])
    shop.open()
    assert (feed.views, feed.rows_read) == (0, 2 * COMPARED_ROWS + len(fresh))
    is_right(shop)


def test_a_restart_after_changes_of_settings_that_the_files_do_not_depend_on_opens_the_snapshot(shop: Shop) -> None:
    feed = shop.feed
    assert isinstance(feed, CountingFeed)
    feed.views = 0
    shop.settings = dataclasses.replace(shop.settings, nprobe=8, rescore=50, index_ram_bytes=100_000, snapshots_kept=0)
    shop.open()
    assert feed.views == 0


@pytest.mark.parametrize(
    "settings",
    [{"list_coder": "rabitq"}, {"list_coder": "fastscan"}, {"filter_keys": ("colour",)}, {"filter_keys": ("size",)}],
    ids=lambda settings: str(next(iter(settings.values()))),
)
def test_a_snapshot_made_under_other_settings_is_built_again_not_served(shop: Shop, settings: dict) -> None:
    feed = shop.feed
    assert isinstance(feed, CountingFeed)
    change(shop, 1)
    # A list coder that is the default one now was not when the snapshot was made.
    shop.settings = dataclasses.replace(shop.settings, list_coder="pq")
    shop.open()
    feed.views = 0
    shop.settings = dataclasses.replace(shop.settings, **settings)
    shop.open()
    assert feed.views == 1
    current = shop.indexes.workshop.snapshots(TENANT).current()
    made = shop.indexes.workshop.snapshots(TENANT).manifest(str(current))
    assert (made.coder, tuple(made.filter_keys)) == (shop.settings.list_coder, shop.settings.filter_keys)
    is_right(shop)
    feed.views = 0
    shop.open()
    assert feed.views == 0, "once"
    with pytest.raises(Exception, match=r"expected (coder|filter_keys)"):
        shop.indexes.rollback(TENANT)
    is_right(shop)


def test_a_snapshot_of_another_codec_name_or_catalogue_is_built_again_not_served(shop: Shop) -> None:
    def opened(feed: ListFeed, code_size: int, name: str) -> TenantIndexes:
        return TenantIndexes(feed, codec_of(code_size), shop.settings, shop.folder, name=name)

    other = CountingFeed(shop.codec, "another catalogue")
    other.add(TENANT, clustered(1200, seed=4))
    for feed, code_size, name in ((other, 32, "index"), (other, 16, "index"), (other, 16, "shop-4 1-of-2")):
        other.views = 0
        # The codes in the feed are those of its own codec: here only whether they are trusted matters.
        if code_size != 32:
            other = CountingFeed(codec_of(code_size), "another catalogue")
            other.add(TENANT, clustered(1200, seed=4))
            feed = other
        shop.indexes, shop.feed = opened(feed, code_size, name), feed
        assert other.views == 1
        is_right(shop)


def test_a_snapshot_older_than_the_pruned_log_is_built_again(shop: Shop) -> None:
    feed = shop.feed
    assert isinstance(feed, CountingFeed)
    change(shop, 1)
    feed.prune()
    feed.views = 0
    shop.open()
    assert feed.views == 1 and snapshots(shop) == ["000001", "000002"]
    is_right(shop)
    feed.views = 0
    shop.open()
    assert feed.views == 0


def test_a_log_that_is_pruned_under_a_running_index_has_it_built_again(shop: Shop) -> None:
    feed = shop.feed
    feed.add(TENANT, clustered(5, seed=8))
    feed.remove([1])
    feed.prune()
    shop.indexes.catch_up()
    is_right(shop)
    assert shop.indexes.seq == feed.position()


def test_a_catalogue_that_was_put_back_from_a_backup_is_believed(shop: Shop) -> None:
    feed = shop.feed
    items, log, following = dict(feed.items), list(feed.log), feed._next
    change(shop, 1)
    shop.indexes.compact(TENANT)
    feed.items, feed.log, feed._next = items, log, following
    shop.open()
    is_right(shop)


def test_a_compaction_that_fails_leaves_all_as_it_was(shop: Shop) -> None:
    change(shop, 1)

    def stop(stage: str, share: float) -> None:
        if stage == "fill":
            raise IndexFailed("the service is stopping.")

    with pytest.raises(IndexFailed):
        shop.indexes.compact(TENANT, progress=stop)
    is_right(shop)
    assert snapshots(shop) == ["000001"]
    shop.open()
    is_right(shop)
    (folder,) = [path for path in shop.folder.iterdir() if path.is_dir()]
    assert not (folder / "building").exists()


def test_an_index_is_compacted_when_it_is_due_and_becomes_exact_when_it_shrinks(shop: Shop) -> None:
    assert shop.indexes.due() == []
    shop.feed.remove(list(shop.feed.items)[:90])
    shop.indexes.catch_up()
    assert shop.indexes.due() == [TENANT], "5 % have changed"
    shop.indexes.compact(TENANT)
    assert shop.indexes.due() == [] and shop.indexes.stats()[TENANT]["tombstones"] == 0
    shop.feed.remove(list(shop.feed.items)[:700])
    shop.indexes.catch_up()
    shop.indexes.compact(TENANT)
    assert shop.indexes.stats()[TENANT]["kind"] == "flat" and snapshots(shop) == []
    is_right(shop)
    shop.add(clustered(600, seed=6))
    shop.indexes.catch_up()
    assert shop.indexes.due() == [TENANT]
    shop.indexes.compact(TENANT)
    assert shop.indexes.stats()[TENANT]["kind"] == "ivf" and shop.indexes.due() == []
    is_right(shop)


def test_a_tenant_whose_last_item_went_answers_nothing_and_can_begin_again(shop: Shop) -> None:
    shop.feed.remove(list(shop.feed.items))
    shop.indexes.catch_up()
    assert shop.search(QUERIES) == [[]] * len(QUERIES)
    shop.open()
    assert shop.search(QUERIES) == [[]] * len(QUERIES)
    shop.add(clustered(1300, seed=7))
    shop.indexes.catch_up()
    is_right(shop)
    shop.open()
    is_right(shop)
    shop.indexes.compact(TENANT)
    is_right(shop)


def test_a_rebuild_waits_for_a_compaction_and_both_leave_whole_snapshots(shop: Shop) -> None:
    """Both write into one folder: the change log may be pruned while a compaction runs."""
    feed, begun, go_on = shop.feed, threading.Event(), threading.Event()

    def stop(stage: str, share: float) -> None:
        begun.set()
        assert go_on.wait(60)

    def compact() -> None:
        with suppress(ChangesPruned):  # what it built is too old by then, and the rebuild has taken its place
            shop.indexes.compact(TENANT, progress=stop)

    compacting = threading.Thread(target=compact)
    compacting.start()
    assert begun.wait(60)
    shop.add(clustered(9, seed=11))
    feed.prune()
    rebuilding = threading.Thread(target=shop.indexes.catch_up)
    rebuilding.start()
    rebuilding.join(0.2)
    assert rebuilding.is_alive(), "it waits"
    go_on.set()
    compacting.join(60)
    rebuilding.join(60)
    assert shop.indexes.verify() == []
    is_right(shop)
    shop.open()
    is_right(shop)


def test_a_snapshot_that_goes_while_it_is_verified_is_no_problem(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Housekeeping may prune it between two looks at a file."""
    shop.indexes.compact(TENANT)
    oldest = snapshots(shop)[0]
    of_tenant, honest = shop.indexes.workshop.snapshots(TENANT), snapshot.sha256_of
    assert len(of_tenant.names()) > 1

    def pruned_meanwhile(path: Path) -> str:
        if path.parent.name == oldest and path.exists():
            of_tenant.remove(oldest)
        return honest(path)

    monkeypatch.setattr(snapshot, "sha256_of", pruned_meanwhile)
    assert shop.indexes.verify() == [] and oldest not in of_tenant.names()
