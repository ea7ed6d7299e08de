"""A filter gives min(k, matches) items, all of which match and nearly all of which are the nearest, in every tier."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.galleries import DIM, clustered
from support.tiers import TENANT, K, Shop, queries, recall

from sightline_shared.errors import FilterInvalid
from sightline_shared.where import Where

ROWS = 10_000
# How many of the first ROWS items have the value under "group": 0.01 %, 1 %, 50 %, 99 % of them, and about k of them.
GROUPS = {"99.99 % out": 1, "99 % out": ROWS // 100, "50 % out": ROWS // 2, "1 % out": ROWS * 99 // 100}
FEW = {"none": 0, "one": 1, "k-1": K - 1, "k": K, "k+1": K + 1}
KEYS = (*GROUPS, "few", "side", "region", "colour", "available")
# Each vector's region is that of the axis nearest to it.
AXES = np.linalg.qr(np.random.default_rng(8).normal(size=(DIM, 5)))[0].astype(np.float32)
COLOURS = ("red", "green", "blue")
QUERIES = queries()
Passes = Callable[[Mapping[str, Any]], bool]


def labelled(vectors: np.ndarray, seed: int) -> list[dict[str, Any]]:
    """Metadata whose groups are drawn at random, but for "side" and "region", which depend on where the vector lies."""
    rng, regions = np.random.default_rng(seed), (vectors @ AXES).argmax(axis=1)
    metadata: list[dict[str, Any]] = [
        {"colour": COLOURS[row % 3], "side": "left" if vector[0] < 0 else "right", "region": int(regions[row])}
        for row, vector in enumerate(vectors)
    ]
    for key, count in GROUPS.items():
        for row in rng.permutation(len(vectors))[: -(-count * len(vectors) // ROWS)]:
            metadata[row][key] = True
    start = 0
    order = rng.permutation(len(vectors))
    for name, count in FEW.items():
        for row in order[start : start + count]:
            metadata[row]["few"] = name
        start += count
    for key, off in (("available", False), ("archived", True)):
        for row in rng.permutation(len(vectors))[: len(vectors) // 20]:
            metadata[row][key] = off
    return metadata


def built(folder: Path, rows: int, **settings: Any) -> Shop:
    shop = Shop(folder, filter_keys=KEYS, **settings)
    vectors = clustered(rows)
    shop.add(vectors, labelled(vectors, 1))
    shop.open()
    return shop


def changed(shop: Shop) -> Shop:
    """Have items of the main part removed and changed, and new ones in the delta, of which some are removed again."""
    old, rng = list(shop.feed.items), np.random.default_rng(2)
    vectors = clustered(2600, seed=3)
    fresh = shop.add(vectors, labelled(vectors, 3))
    shop.indexes.catch_up()
    shop.feed.remove(rng.permutation(old)[:900].tolist() + fresh[:200])
    for pk in rng.permutation(list(shop.feed.items))[:300].tolist():
        fields = shop.feed.items[pk][3]
        shop.feed.update(pk, **{**fields, "colour": "red", "available": not fields.get("available", True)})
    for pk in rng.permutation(list(shop.feed.items))[:300].tolist():
        fields = shop.feed.items[pk][3]
        shop.feed.update(pk, **{**fields, "archived": not fields.get("archived", False)})
    shop.indexes.catch_up()
    return shop


def compacted(shop: Shop) -> Shop:
    changed(shop).indexes.compact(TENANT)
    return shop


def restarted(shop: Shop) -> Shop:
    changed(shop).open()
    return shop


TIERS: dict[str, Callable[[Path], Shop]] = {
    "flat": lambda folder: changed(built(folder, 4000, ivf_min_vectors=10**6)),
    "ram": lambda folder: built(folder, ROWS, list_coder="pq"),
    "rabitq": lambda folder: built(folder, ROWS, list_coder="rabitq"),
    "ssd": lambda folder: built(folder, ROWS, index_ram_bytes=0, list_coder="pq"),
    "delta": lambda folder: changed(built(folder, 1100)),
    "mixed": lambda folder: changed(built(folder, ROWS, index_ram_bytes=250_000, list_coder="pq")),
    "compacted": lambda folder: compacted(built(folder, ROWS)),
    "restarted": lambda folder: restarted(built(folder, ROWS, list_coder="rabitq", index_ram_bytes=250_000)),
}


@pytest.fixture(scope="module", params=TIERS)
def shop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return TIERS[request.param](tmp_path_factory.mktemp("filters"))


def found_rightly(shop: Shop, where: Where, passes: Passes, at_least: float = 0.95) -> float:
    """Check an answer against brute force; returns recall."""
    found, true = shop.search(QUERIES, K, where), shop.exact(QUERIES, K, passes)
    assert [len(own) for own in found] == [len(own) for own in true]
    assert all(passes(shop.feed.items[pk][3]) for own in found for pk in own)
    share = recall(found, true)
    assert share >= at_least
    return share


@pytest.mark.parametrize("key", GROUPS)
def test_a_filter_that_hides_so_much_gives_all_that_match(shop: Shop, key: str) -> None:
    found_rightly(shop, Where.of({key: True}), lambda fields: fields.get(key) is True)


@pytest.mark.parametrize("name", FEW)
def test_few_matches_are_found_exactly(shop: Shop, name: str) -> None:
    found_rightly(shop, Where.of({"few": name}), lambda fields: fields.get("few") == name, at_least=1.0)


def test_a_filter_that_leaves_what_is_far_from_the_query_finds_its_nearest(shop: Shop) -> None:
    for side in ("left", "right"):
        found_rightly(shop, Where.of({"side": side}), lambda fields, side=side: fields["side"] == side)


def test_a_filter_on_a_region_that_is_far_from_each_query_finds_what_is_nearest_there(shop: Shop) -> None:
    """The category of another kind of thing than the photograph shows."""
    shares = []
    for query in QUERIES:
        region = int((query @ AXES).argmin())
        (found,) = shop.search(query[None], K, Where.of({"region": region}))
        (true,) = shop.exact(query[None], K, lambda fields, region=region: fields["region"] == region)
        assert len(found) == K
        shares.append(recall([found], [true]))
    assert np.mean(shares) >= 0.95, np.mean(shares)


def test_several_keys_and_values_must_all_hold(shop: Shop) -> None:
    where = Where.of({"colour": ["red", "blue"], "50 % out": True, "side": "left"})
    found_rightly(
        shop, where, lambda fields: fields["colour"] != "green" and "50 % out" in fields and fields["side"] == "left"
    )
    nobody = Where.of({"colour": "red", "few": ["none", "no such"]})
    assert shop.search(QUERIES, K, nobody) == [[]] * len(QUERIES)


def test_what_is_not_available_never_answers_and_k_is_filled_without_it(shop: Shop) -> None:
    off = {pk for pk, item in shop.feed.items.items() if item[3].get("available") is False}
    assert len(off) > 100
    for k in (1, K, 300):
        found = shop.search(QUERIES, k)
        assert all(len(own) == k and not set(own) & off for own in found)
    assert shop.recall(QUERIES) >= 0.95
    assert shop.search(QUERIES, K, Where.of({"available": False})) == [[]] * len(QUERIES)


def test_what_is_archived_never_answers_though_nobody_may_filter_on_that(shop: Shop) -> None:
    off = {pk for pk, item in shop.feed.items.items() if item[3].get("archived") is True}
    assert len(off) > 100
    found = shop.search(QUERIES, 300)
    assert all(len(own) == 300 and not set(own) & off for own in found)
    for pk in sorted(off)[:20]:  # not even to its own vector
        assert pk not in shop.search(shop.feed.items[pk][1][None].astype(np.float32), 5)[0]
    with pytest.raises(FilterInvalid, match="archived"):
        shop.search(QUERIES, K, Where.of({"archived": True}))


def test_a_key_that_is_not_kept_is_refused_in_every_tier(shop: Shop) -> None:
    with pytest.raises(FilterInvalid, match="price"):
        shop.search(QUERIES, K, Where.of({"price": 3}))
    with pytest.raises(FilterInvalid):
        shop.indexes.search("a tenant without items", QUERIES, K, Where.of({"price": 3}))


def test_without_the_key_available_it_hides_nothing_and_cannot_be_asked_for(tmp_path: Path) -> None:
    shop = Shop(tmp_path, filter_keys=("colour",))
    pks = shop.add(clustered(1200), [{"available": False}] * 1200)
    shop.add(clustered(5, seed=9), [{"archived": True}] * 5)
    shop.open()
    assert len(shop.search(QUERIES[:1], 1200)[0]) == len(pks)
    with pytest.raises(FilterInvalid, match="available"):
        shop.search(QUERIES, K, Where.of({"available": True}))


def test_true_one_and_text_are_three_values(tmp_path: Path) -> None:
    values = [True, 1, 1.0, "1", False, 0, 2.5, -1, 2**60]
    shop = Shop(tmp_path, filter_keys=("value",))
    pks = shop.add(clustered(1800), [{"value": values[row % len(values)]} for row in range(1800)])
    for _ in range(2):  # from the build, and from the snapshot
        shop.open()
        for value in values:
            alike = {
                pk for pk in pks if (got := shop.feed.items[pk][3]["value"]) == value and _kind(got) == _kind(value)
            }
            (found,) = shop.search(QUERIES[:1], 1800, Where.of({"value": value}))
            assert set(found) == alike


def _kind(value: object) -> str:
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__
