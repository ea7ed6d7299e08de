"""Slots never change, shards take few of them when they grow, and replicas stand on different nodes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline_cloud.catalog.slots import SLOTS, slot_of
from sightline_cloud.shards.placement import MAX_SHARDS, nodes_of, owners, slots_of
from sightline_shared.errors import ConfigInvalid


def test_slots_are_the_ones_that_stored_items_have() -> None:
    # Stored in every catalogue: a change of these numbers would lose items.
    assert slot_of("default", "item/1") == 1480
    assert slot_of("default", "item/2") == 336
    assert slot_of("shop-2", "item/1") == 3221
    assert slot_of("läden", "牛奶") == 779


def test_owners_are_the_ones_that_built_shards_have() -> None:
    assert owners(4)[:16].tolist() == [0, 0, 3, 2, 3, 2, 2, 2, 2, 2, 2, 3, 0, 1, 1, 3]


@settings(deadline=None, max_examples=40)
@given(st.text(max_size=30).filter(str.isprintable), st.text(max_size=200).filter(str.isprintable))
def test_every_item_has_a_slot(tenant: str, item_id: str) -> None:
    assert 0 <= slot_of(tenant, item_id) < SLOTS


def test_items_spread_evenly_over_the_slots() -> None:
    counts = np.bincount([slot_of("default", f"item/{number}") for number in range(40_960)], minlength=SLOTS)
    assert len(counts) == SLOTS
    # Of a uniform distribution the chi-square statistic is 4095 +- 90.
    assert 3600 < ((counts - 10) ** 2 / 10).sum() < 4600


@settings(deadline=None, max_examples=40)
@given(st.integers(1, MAX_SHARDS - 1))
def test_one_shard_more_takes_its_part_of_the_slots_and_nothing_moves_between_the_others(shards: int) -> None:
    before, after = owners(shards), owners(shards + 1)
    moved = before != after
    assert (after[moved] == shards).all()
    fair = SLOTS / (shards + 1)
    assert abs(moved.sum() - fair) <= 5 * np.sqrt(fair)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, MAX_SHARDS))
def test_shards_own_every_slot_once_and_none_is_left_without(shards: int) -> None:
    if shards == 1:
        assert slots_of(0, 1) is None
        return
    parts = [slots_of(shard, shards) for shard in range(shards)]
    assert sorted(slot for part in parts for slot in part) == list(range(SLOTS))
    assert min(map(len, parts)) > 0


NODES = st.lists(st.text("abcdef", min_size=1, max_size=4), min_size=1, max_size=12, unique=True)


@settings(deadline=None, max_examples=40)
@given(NODES, st.integers(0, MAX_SHARDS - 1), st.data())
def test_replicas_are_on_different_nodes_whatever_the_order_of_the_list(nodes, shard: int, data) -> None:
    replicas = data.draw(st.integers(1, len(nodes)))
    chosen = nodes_of(shard, nodes, replicas)
    assert len(set(chosen)) == replicas and set(chosen) <= set(nodes)
    assert nodes_of(shard, nodes[::-1], replicas) == chosen


@settings(deadline=None, max_examples=40)
@given(NODES, st.integers(0, MAX_SHARDS - 1), st.data())
def test_one_node_more_displaces_at_most_one_replica_of_a_shard(nodes, shard: int, data) -> None:
    replicas = data.draw(st.integers(1, len(nodes)))
    before, after = set(nodes_of(shard, nodes, replicas)), set(nodes_of(shard, [*nodes, "new"], replicas))
    assert after == before or (after - before == {"new"} and len(before - after) == 1)


def test_what_cannot_be_placed_is_refused() -> None:
    for wrong in (0, MAX_SHARDS + 1):
        with pytest.raises(ConfigInvalid, match="shards: expected 1 to"):
            owners(wrong)
    with pytest.raises(ConfigInvalid, match="shard: expected 0 to 3, got 4"):
        slots_of(4, 4)
    for replicas in (0, 3):
        with pytest.raises(ConfigInvalid, match="replicas: expected 1 to 2"):
            nodes_of(0, ["a", "b"], replicas)
