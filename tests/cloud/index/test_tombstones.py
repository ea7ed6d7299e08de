"""What was removed never comes back, and what took its place is always there, in every tier and through every change."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from support.galleries import clustered
from support.tiers import TENANT, K, Shop

from sightline_cloud.catalog.feed import Change, Rows
from sightline_cloud.index.changes import FETCH_ROWS
from sightline_shared.errors import StoreCorrupt, StoreUnavailable

VECTORS = clustered(1600)
# None of these is near another, or near anything in VECTORS.
LONERS = np.linalg.qr(np.random.default_rng(3).normal(size=(64, 64)))[0].astype(np.float32)

TIERS = {
    "flat": {"ivf_min_vectors": 10**6},
    "ram": {"list_coder": "pq"},
    "fastscan": {"list_coder": "fastscan"},
    "ssd": {"index_ram_bytes": 0, "list_coder": "pq"},
    "rabitq, half on ssd": {"index_ram_bytes": 40_000, "list_coder": "rabitq"},
}


@pytest.fixture(params=TIERS)
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Shop:
    """A shop whose first items are LONERS, in the main part (or the flat index)."""
    shop = Shop(tmp_path, **TIERS[request.param])
    shop.add(LONERS[:32])
    shop.add(VECTORS)
    shop.open()
    return shop


def nearest(shop: Shop, vector: np.ndarray) -> int:
    """Return the pk of the nearest item, and check that it is the true one."""
    (found,) = shop.search(vector[None], K)
    assert found[:1] == shop.exact(vector[None], 1)[0]
    return found[0]


def gone(shop: Shop, pks: Sequence[int]) -> bool:
    """Whether none of the pks answers, not even to a query that asks for as many as there are."""
    many = shop.search(LONERS[:1], len(shop.feed.items) + 50)[0]
    close = [pk for found in shop.search(LONERS, K) for pk in found]
    return not {*many, *close} & set(pks) and set(many) == set(shop.feed.items)


def put_back(shop: Shop, pk: int, vector: np.ndarray, *, same_pk: bool) -> int:
    """Add an item again, under the pk that it had (a feed may) or a new one (as the catalogue does); returns it."""
    if not same_pk:
        return shop.add(vector[None])[0]
    code = shop.codec.encode(vector[None])[0]
    shop.feed.items[pk] = (TENANT, vector.astype(np.float16), code, {})
    shop.feed.add_again(pk)
    return pk


@pytest.mark.parametrize("same_pk", [False, True], ids=["new pk", "same pk"])
def test_a_removed_item_stays_away_and_its_successor_stays_through_compaction_restart_and_rollback(
    shop: Shop, same_pk: bool
) -> None:
    """The phantom tombstone: neither does an old snapshot bring the old vector back, nor does its removal hide the new one."""
    kinds = shop.indexes.stats()[TENANT]["kind"]
    old, other = nearest(shop, LONERS[0]), nearest(shop, LONERS[1])

    def holds() -> None:
        assert nearest(shop, LONERS[40]) == new, "the successor answers"
        assert nearest(shop, LONERS[1]) == other
        # The old vector's place is empty: nothing lies there any more.
        cosines, _ = shop.indexes.search(TENANT, LONERS[:1], 1)
        assert cosines[0, 0] < 0.9
        if not same_pk:
            assert gone(shop, [old])

    shop.feed.remove([old])
    shop.indexes.catch_up()
    assert gone(shop, [old])
    new = put_back(shop, old, LONERS[40], same_pk=same_pk)
    shop.indexes.catch_up()
    holds()
    shop.indexes.compact(TENANT)
    holds()
    shop.open()
    holds()
    if kinds == "ivf":
        assert shop.indexes.rollback(TENANT) == "000001", "the snapshot before the removal"
        holds()
        shop.open()
        holds()
    shop.indexes.compact(TENANT, retrain=True)
    holds()
    shop.feed.remove([new])
    shop.indexes.catch_up()
    assert gone(shop, [old, new])
    if kinds == "ivf":
        shop.indexes.rollback(TENANT)
        assert gone(shop, [old, new])
    assert shop.indexes.verify() == []


@pytest.mark.parametrize("same_pk", [False, True], ids=["new pk", "same pk"])
def test_a_new_photograph_moves_an_item_and_leaves_nothing_at_its_old_place(shop: Shop, same_pk: bool) -> None:
    first = nearest(shop, LONERS[2])
    pk = first
    for number in (50, 51, 52):  # from main to delta, then from delta to delta
        shop.feed.remove([pk])
        pk = put_back(shop, pk, LONERS[number], same_pk=same_pk)
        shop.indexes.catch_up()
        assert nearest(shop, LONERS[number]) == pk
        for before in (2, 50, 51, 52):
            if before != number:
                assert shop.indexes.search(TENANT, LONERS[before][None], 1)[0][0, 0] < 0.9
    shop.indexes.compact(TENANT)
    assert nearest(shop, LONERS[52]) == pk
    assert shop.indexes.search(TENANT, LONERS[2:3], 1)[0][0, 0] < 0.9


def test_what_is_only_in_the_delta_is_removed_for_good(shop: Shop) -> None:
    fresh = shop.add(LONERS[40:60])
    shop.indexes.catch_up()
    assert [nearest(shop, vector) for vector in LONERS[40:60]] == fresh
    shop.feed.remove(fresh[:10])
    shop.indexes.catch_up()
    for again in (lambda: None, shop.open, lambda: shop.indexes.compact(TENANT), shop.open):
        again()
        assert gone(shop, fresh[:10])
        assert [nearest(shop, vector) for vector in LONERS[50:60]] == fresh[10:]


def test_added_and_removed_before_the_index_looked_leaves_nothing(shop: Shop) -> None:
    fresh = shop.add(LONERS[40:42])
    shop.feed.remove(fresh)
    shop.feed.remove([pk := shop.add(LONERS[42:43])[0]])
    shop.indexes.catch_up()
    assert gone(shop, [*fresh, pk])


@pytest.mark.parametrize("retrain", [False, True])
def test_removals_and_additions_during_a_compaction_hold_at_once_and_after_it(shop: Shop, retrain: bool) -> None:
    doomed, replaced, stages = iter(range(1, 33)), [], set()
    removed: list[int] = []

    def meddle(stage: str, share: float) -> None:
        if stage in stages:
            return
        stages.add(stage)
        pk = next(doomed)
        shop.feed.remove([pk])
        removed.append(pk)
        vector = LONERS[40 + len(stages)]
        replaced.append((shop.add(vector[None])[0], vector))
        shop.indexes.catch_up()
        assert gone(shop, removed)
        assert nearest(shop, vector) == replaced[-1][0]

    shop.indexes.compact(TENANT, retrain=retrain, progress=meddle)
    assert gone(shop, removed)
    assert all(nearest(shop, vector) == pk for pk, vector in replaced)
    assert stages >= {"read", "fill"} or shop.indexes.stats()[TENANT]["kind"] == "flat"
    shop.open()
    assert gone(shop, removed)


def test_removals_at_every_step_of_the_swap_hold(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whenever the log is read on the way to the swap, something has just been removed and added that was not read yet."""
    removed, added, read = [], [], shop.feed.changes_since

    def just_after(seq: int, limit: int = 10_000) -> list[Change]:
        changes = read(seq, limit)
        if len(removed) < 6:
            shop.feed.remove([pk := 1 + len(removed)])
            removed.append(pk)
            added.append(shop.add(LONERS[40 + len(removed)][None])[0])
        return changes

    monkeypatch.setattr(shop.feed, "changes_since", just_after)
    shop.indexes.compact(TENANT)
    assert removed
    shop.indexes.catch_up()
    while shop.indexes.seq < shop.feed.position():
        shop.indexes.catch_up()
    assert gone(shop, removed)
    assert [nearest(shop, LONERS[40 + number]) for number in range(1, 1 + len(added))] == added


def test_an_item_that_is_replaced_is_findable_at_every_moment(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A search in the middle of catching up meets the old one or the new one, or both, never neither."""
    old = nearest(shop, LONERS[5])
    shop.feed.remove([old])
    (new,) = shop.add(LONERS[5:6])
    seen, read = [], shop.feed.rows

    def looking(pks: Sequence[int]) -> Rows:
        seen.append(int(shop.indexes.search(TENANT, LONERS[5:6], 1)[1][0, 0]))
        return read(pks)

    monkeypatch.setattr(shop.feed, "rows", looking)
    shop.indexes.catch_up()
    assert seen and set(seen) <= {old, new}
    assert nearest(shop, LONERS[5]) == new


def test_removals_hold_also_when_an_added_row_cannot_be_read(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    old = nearest(shop, LONERS[6])
    shop.feed.remove([old])
    (added,) = shop.add(LONERS[41:42])

    def damaged(pks: Sequence[int]) -> Rows:
        raise StoreCorrupt("vectors_1: the checksum differs.")

    with monkeypatch.context() as patch:
        patch.setattr(shop.feed, "rows", damaged)
        shop.indexes.catch_up()
    assert old not in shop.search(LONERS[6:7], K)[0]
    assert shop.indexes.trouble and shop.indexes.seq == shop.feed.position()
    shop.indexes.catch_up()
    assert gone(shop, [old]) and shop.indexes.trouble is None
    assert nearest(shop, LONERS[41]) == added, "the row is as it was stored again"


def test_a_damaged_row_holds_up_no_other_and_answers_when_it_is_mended(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    read, vectors = shop.feed.rows, shop.indexes.stats()[TENANT]["vectors"]
    fresh = shop.add(LONERS[42:44])[:1] + shop.add(clustered(FETCH_ROWS + 5, seed=11))
    elsewhere = shop.feed.add("another tenant", LONERS[:3])
    old, bad = nearest(shop, LONERS[7]), {fresh[0], fresh[-1]}
    shop.feed.update(old, colour="red")

    def damaged(pks: Sequence[int]) -> Rows:
        if (bad | {old}) & set(pks):
            raise StoreCorrupt("vectors_1: the checksum differs.")
        return read(pks)

    with monkeypatch.context() as patch, caplog.at_level("WARNING", "sightline"):
        patch.setattr(shop.feed, "rows", damaged)
        for _ in range(3):
            shop.indexes.catch_up()
            stats = shop.indexes.stats()
            assert stats[TENANT]["vectors"] == vectors + len(fresh) + 1 - len(bad) - 1
            assert (stats[TENANT]["damaged_rows"], stats["another tenant"]["damaged_rows"]) == (3, 0)
            assert (stats[TENANT]["tombstones"], stats["another tenant"]["vectors"]) == (1, len(elsewhere))
            assert shop.indexes.seq == shop.feed.position()
            assert shop.indexes.trouble and "3 rows" in shop.indexes.trouble
        answered = shop.search(np.concatenate([LONERS[7:8], LONERS[42:43]]), K)
        assert not {old, *bad} & {pk for own in answered for pk in own}, "nor one whose metadata is now unknown"
        assert len(caplog.records) == 3, "each is told of once"
    before = shop.indexes.version(TENANT)
    shop.indexes.catch_up()
    stats = shop.indexes.stats()[TENANT]
    assert (stats["vectors"], stats["damaged_rows"]) == (vectors + len(fresh) + 1, 0)
    assert shop.indexes.trouble is None and shop.indexes.version(TENANT) > before
    assert (nearest(shop, LONERS[7]), nearest(shop, LONERS[42])) == (old, fresh[0])


def test_catching_up_that_fails_again_and_again_adds_nothing_again(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    read, vectors = shop.feed.rows, shop.indexes.stats()[TENANT]["vectors"]
    fresh = shop.add(clustered(FETCH_ROWS + 5, seed=11))

    def away(pks: Sequence[int]) -> Rows:
        if fresh[-1] in pks:
            raise StoreUnavailable("the disk went away")
        return read(pks)

    with monkeypatch.context() as patch:
        patch.setattr(shop.feed, "rows", away)
        for _ in range(3):
            with pytest.raises(StoreUnavailable):
                shop.indexes.catch_up()
        stats = shop.indexes.stats()[TENANT]
        assert (stats["vectors"], stats["tombstones"]) == (vectors, 0)
    shop.indexes.catch_up()
    stats = shop.indexes.stats()[TENANT]
    assert (stats["vectors"], stats["tombstones"]) == (vectors + len(fresh), 0)


def test_a_removal_that_comes_twice_or_names_nobody_changes_nothing(shop: Shop) -> None:
    index = shop.indexes._live[TENANT].index
    shop.feed.remove([3])
    shop.indexes.catch_up()
    before = shop.indexes.stats()[TENANT]["tombstones"]
    assert index.remove([3, 3, 10**9, -1]) == 0
    assert shop.indexes.stats()[TENANT]["tombstones"] == before == 1
    assert gone(shop, [3])
