"""Lists in RAM and on the SSD: within the budget, the ones that are asked for in RAM, and the answers always the same."""

import ctypes
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # for the child below, which pytest does not start

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.galleries import clustered
from support.list_feed import ListFeed
from support.tiers import TENANT, Shop, queries

from sightline_bench.retrieval.pages import drop, files_under, resident_share
from sightline_cloud.index.ahead import LOOK_EVERY, Ahead, waits
from sightline_cloud.index.hits import HALF_LIFE_SECONDS, NOTED, Hits
from sightline_cloud.index.main import MainIndex
from sightline_cloud.index.planner import Candidates, plan
from sightline_cloud.index.rerank import Reranker
from sightline_cloud.index.tenants import TenantIndexes

QUERIES = queries(40)
ROWS = 5000
CHILD_ROWS, CHILD_DIM, CHILD_QUERIES = 100_000, 32, 300


def candidates(sizes: list[int], hits: list[float], hot: list[bool]) -> Candidates:
    return Candidates(np.array(sizes, np.int64), np.array(hits, np.float32), np.array(hot, bool))


@st.composite
def lists(draw: Callable[..., object]) -> Candidates:
    count = draw(st.integers(1, 12))
    several = [st.lists(each, min_size=count, max_size=count) for each in (st.integers(0, 100), st.floats(0, 50, width=32), st.booleans())]  # fmt: skip
    return candidates(*[draw(each) for each in several])


@given(lists(), lists(), st.integers(-50, 1500))
def test_a_plan_keeps_to_the_budget_and_leaves_no_room_for_another_list(
    one: Candidates, two: Candidates, budget: int
) -> None:
    masks = plan({"one": one, "two": two}, budget)
    spent = sum(int(each.list_bytes[masks[name]].sum()) for name, each in (("one", one), ("two", two)))
    left_out = [int(size) for name, each in (("one", one), ("two", two)) for size in each.list_bytes[~masks[name]]]
    assert spent <= max(0, budget)
    assert all(spent + size > max(0, budget) for size in left_out)


def test_a_plan_prefers_hits_a_byte_and_does_not_have_equals_change_places() -> None:
    sizes, cold = [100, 100, 10, 200], [False] * 4
    assert plan({"a": candidates(sizes, [5, 9, 1, 10], cold)}, 110)["a"].tolist() == [False, True, True, False]
    assert plan({}, 100) == {}
    # One is in RAM: the other takes its place only when it is asked for clearly more.
    for asked, stays in ((11, True), (13, False)):
        masks = plan({"a": candidates([100], [10], [True]), "b": candidates([100], [asked], [False])}, 100)
        assert masks["a"].tolist() == [stays] and masks["b"].tolist() == [not stays]


def test_hits_are_counted_by_list_and_tier_and_halve_in_their_half_life() -> None:
    hits = Hits(4)
    hits.note(np.array([[0, 1, 1], [3, -1, -1]]), np.array([True, False, False, False]))
    assert hits.counts.tolist() == [1, 2, 0, 1] and (hits.ram_probes, hits.ssd_probes) == (1, 3)
    hits.decay(HALF_LIFE_SECONDS)
    hits.decay(0)
    assert hits.counts.tolist() == [0.5, 1, 0, 0.5]
    hits.decay(20 * HALF_LIFE_SECONDS)
    assert hits.counts.max() < 1e-5


def test_hits_that_are_counted_together_are_all_counted_for_where_the_lists_were() -> None:
    hits, rng = Hits(8), np.random.default_rng(0)
    asked = rng.integers(-1, 8, (3 * NOTED, 1, 5))
    places = [np.arange(8) < 4, np.arange(8) >= 6]
    for number, lists in enumerate(asked):
        hits.note(lists, places[number // 50 % 2])
    there = asked[asked >= 0]
    assert hits.counts.tolist() == np.bincount(there, minlength=8).tolist()
    in_ram = sum(int(places[number // 50 % 2][lists[lists >= 0]].sum()) for number, lists in enumerate(asked))
    assert (hits.ram_probes, hits.ssd_probes) == (in_ram, len(there) - in_ram)


def test_saved_hits_are_those_of_their_snapshot_or_none(tmp_path: Path) -> None:
    hits, path = Hits(3), tmp_path / "hits.f32"
    hits.note(np.array([[0, 2, 2]]), np.zeros(3, bool))
    hits.save(path, "000003")
    for snapshot, lists_there, expected in (("000003", 3, [1, 0, 2]), ("000004", 3, [0] * 3), ("000003", 4, [0] * 4)):
        again = Hits(lists_there)
        again.load(path, snapshot)
        assert again.counts.tolist() == expected
    whole = path.read_bytes()
    for damaged in (whole[:-1], whole[:40] + b"\xff" + whole[41:], b""):
        path.write_bytes(damaged)
        again = Hits(3)
        again.load(path, "000003")
        assert again.counts.tolist() == [0, 0, 0]


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """A shop with room for about a third of its lists."""
    shop = Shop(tmp_path, index_ram_bytes=170_000, nprobe=8, list_coder="pq")
    shop.add(clustered(ROWS))
    shop.open()
    return shop


def main_of(shop: Shop) -> MainIndex:
    main: MainIndex = shop.indexes._live[TENANT].index.main
    return main


def around(number: int, count: int = 30) -> np.ndarray:
    """Return queries close to one another, far from those of another number."""
    rng, centre = np.random.default_rng(number), clustered(200, seed=1000)[number]
    near = centre + 0.02 * rng.normal(size=(count, len(centre)))
    return (near / np.linalg.norm(near, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("budget", [0, 60_000, 140_000, 200_000, 10**7])
@pytest.mark.parametrize("coder", ["pq", "rabitq"])
def test_two_tenants_share_a_budget_and_never_take_more(tmp_path: Path, budget: int, coder: str) -> None:
    shop = Shop(tmp_path, index_ram_bytes=budget, list_coder=coder)
    shop.add(clustered(2500))
    shop.feed.add("other", clustered(1500, seed=2))
    shop.feed.add("small", clustered(200, seed=3))
    shop.open()
    for seed in (4, 5):
        for tenant in (TENANT, "other"):
            shop.indexes.search(tenant, queries(30, seed=seed), 10)
        shop.feed.add(TENANT, clustered(100, seed=seed))
        shop.indexes.catch_up()
        in_ram = shop.indexes.promote()
        stats = shop.indexes.stats()
        total = sum(each["ram_bytes"] for each in stats.values())
        fixed = sum(main.fixed_bytes for main in shop.indexes._mains().values())
        fixed += sum(each["ram_bytes"] for each in [live.index.delta.stats() for live in (shop.indexes._live[name] for name in in_ram)])  # fmt: skip
        fixed += stats["small"]["ram_bytes"]
        assert total <= max(budget, fixed), "the lists give way to what must be in RAM"
        assert in_ram == {name: stats[name]["lists_in_ram"] for name in (TENANT, "other")}
        lists_there = sum(stats[name]["lists"] for name in in_ram)
        assert (sum(in_ram.values()) == lists_there) == (budget == 10**7)
        assert (sum(in_ram.values()) == 0) == (budget <= fixed)


def test_what_is_asked_for_moves_to_ram_and_what_is_not_moves_out(shop: Shop) -> None:
    main = main_of(shop)

    def from_ram(asked: np.ndarray) -> float:
        before = main.hits.ram_probes, main.hits.ssd_probes
        shop.search(asked)
        ram, ssd = main.hits.ram_probes - before[0], main.hits.ssd_probes - before[1]
        return ram / (ram + ssd)

    hot_before, shares = [], []
    for number in (1, 2, 1):
        main.hits.decay(5 * HALF_LIFE_SECONDS)
        cold = from_ram(around(number))
        shop.indexes.promote()
        shares.append((cold, from_ram(around(number))))
        hot_before.append(main._lists.hot.copy())
        assert 0 < main._lists.hot.sum() < main._lists.count
    assert all(warm == 1 for _, warm in shares), "all lists that were asked for are in RAM now"
    assert shares[1][0] < 1, "those of the first place did not hold the second's"
    assert (hot_before[0] & ~hot_before[1]).any(), "some had to make room"


@pytest.mark.parametrize("coder", ["pq", "rabitq"])
def test_answers_are_the_same_wherever_the_lists_are(tmp_path: Path, coder: str) -> None:
    shop = Shop(tmp_path, list_coder=coder, index_ram_bytes=0)
    shop.add(clustered(ROWS))
    shop.open()
    main, rng = main_of(shop), np.random.default_rng(0)
    count = main._lists.count
    expected = shop.indexes.search(TENANT, QUERIES, 30)
    for hot in (np.ones(count, bool), rng.random(count) < 0.5, np.zeros(count, bool), rng.random(count) < 0.1):
        main.tier(hot)
        assert (main._lists.hot == hot).all()
        for one, other in zip(shop.indexes.search(TENANT, QUERIES, 30), expected, strict=True):
            np.testing.assert_array_equal(one, other)
    in_ram = Shop(tmp_path, list_coder=coder)
    in_ram.feed = shop.feed
    in_ram.open()
    for one, other in zip(in_ram.indexes.search(TENANT, QUERIES, 30), expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_restart_finds_its_head_in_ram_again_and_a_compaction_keeps_it(shop: Shop) -> None:
    shop.search(around(1, 200))
    shop.indexes.promote()
    hot = main_of(shop)._lists.hot.copy()
    shop.open()
    assert (main_of(shop)._lists.hot == hot).mean() > 0.95, "but for a list or two at the edge"
    hot = main_of(shop)._lists.hot.copy()
    shop.indexes.compact(TENANT)
    assert (main_of(shop)._lists.hot == hot).all(), "at once, before the next round of housekeeping"


def test_promoting_a_hundred_times_leaves_one_mapping_of_the_lists(shop: Shop) -> None:
    """A mapping that stays keeps the blocks of removed snapshots on the disk, erased codes among them."""

    def mappings() -> int:
        maps = Path("/proc/self/maps").read_text().splitlines()
        return sum(str(shop.folder) in line and "lists.faiss" in line for line in maps)

    main, rng, expected = main_of(shop), np.random.default_rng(0), shop.search(QUERIES)
    for _ in range(100):
        main.tier(rng.random(main._lists.count) < 0.5)
    assert mappings() == 1
    assert shop.search(QUERIES) == expected
    shop.indexes.compact(TENANT)
    shop.indexes.compact(TENANT)
    del main
    assert mappings() == 1


def test_rows_are_asked_for_until_they_are_in_memory_and_again_when_they_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors, rng, path = clustered(20_000).astype(np.float16), np.random.default_rng(0), tmp_path / "vectors.f16"
    vectors.tofile(path)
    reranker, asked = Reranker(path, vectors.shape[1]), []
    really = reranker.ahead.ask
    monkeypatch.setattr(reranker.ahead, "ask", lambda *rows: (asked.append(len(rows[0])), really(*rows)))

    def search(times: int) -> int:
        """Return how many of so many searches asked for their rows."""
        before = len(asked)
        for query in queries(times):
            rows = rng.permutation(len(vectors))[:100]
            true = vectors[rows].astype(np.float32) @ query
            np.testing.assert_allclose(reranker.cosines(query, rows), true, atol=1e-6)
        return len(asked) - before

    assert search(LOOK_EVERY) == LOOK_EVERY - 1, "the last one looked: the file has just been written"
    assert search(100) == 0
    drop([path])
    if resident_share([path]) > 0.5:
        pytest.skip("a file system that keeps its files in memory")
    assert search(5) == 4, "the first one had to wait"
    for _ in range(20):  # until all has been read once
        reranker.cosines(queries(1)[0], np.arange(len(vectors)))
    search(LOOK_EVERY)
    assert search(100) == 0


@pytest.mark.parametrize("budget", [None, 0, 100_000])
def test_a_cold_search_hardly_waits_for_one_page_after_another(
    tmp_path: Path, budget: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lists, vectors and pks are asked for before the first of each is read, and nothing else is on the SSD."""
    shop = Shop(tmp_path, Uncoded(), list_coder="rabitq", index_ram_bytes=budget, nprobe=16)
    shop.add(clustered(20_000, dim=CHILD_DIM))
    shop.open()
    files = files_under(tmp_path)

    def waited(query: np.ndarray) -> int:
        drop(files)
        if resident_share(files) > 0.1:
            pytest.skip("a file system that keeps its files in memory")
        before = waits()
        shop.search(query[None])
        return waits() - before

    asked = queries(6, CHILD_DIM)
    asking = [waited(query) for query in asked[:3]]
    monkeypatch.setattr(Ahead, "ask", lambda *_: None)
    blind = [waited(query) for query in asked[3:]]
    print(f"pages waited for one after another with a budget of {budget}: {asking}, without asking {blind}")
    assert min(blind) >= 10
    assert max(asking) <= 2


def test_a_budget_with_lists_that_cannot_be_mapped_is_refused(tmp_path: Path) -> None:
    shop = Shop(tmp_path, index_ram_bytes=10**6, list_coder="fastscan")
    shop.add(clustered(1100))
    with pytest.raises(Exception, match="index_ram_bytes: expected a list_coder other than 'fastscan'"):
        shop.open()


def test_lists_on_the_ssd_take_less_than_16_bytes_of_ram_a_vector(tmp_path: Path) -> None:
    """Anonymous memory of a process of its own, as the kernel counts it; what is mapped from files can be dropped."""
    for rows, folder in ((1100, tmp_path / "small"), (CHILD_ROWS, tmp_path / "large")):
        shop = Shop(folder, Uncoded(), list_coder="rabitq")
        shop.add(clustered(rows, dim=CHILD_DIM))
        shop.open()
    taken = {}
    for tier in ("ssd", "ram"):
        command = [sys.executable, __file__, tier, str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stderr
        taken[tier] = json.loads(done.stdout)
    figures = {tier: (own["bytes"], own["said"]) for tier, own in taken.items()}
    print(f"anonymous bytes a vector at {CHILD_ROWS}, measured and as stats() says: {figures}")
    assert taken["ssd"]["bytes"] <= 16
    # The measurement sees what is in RAM: a list's row is 4 bytes of code, 8 of RaBitQ's factors and 8 of row number.
    assert taken["ram"]["bytes"] > taken["ssd"]["bytes"] + 15
    for own in taken.values():
        assert abs(own["bytes"] - own["said"]) < 8, "what stats() says is about what the kernel says"
    assert taken["ssd"]["found"] == taken["ram"]["found"]


class Uncoded:
    """A codec for lists that hold none of its codes: encoding would take most of the time."""

    dim, code_size = CHILD_DIM, 1
    mean = np.zeros(CHILD_DIM, np.float32)

    def encode(self, vectors: np.ndarray) -> np.ndarray:
        return np.zeros((len(vectors), 1), np.uint8)

    def to_bytes(self) -> bytes:
        return b"uncoded"


class Unchanged(ListFeed):
    """A feed that knows of so many additions, and holds nothing: what its items take would hide what the index takes."""

    def __init__(self, rows: int) -> None:
        super().__init__(Uncoded())
        self._rows_there = rows

    def tenants(self) -> dict[str, int]:
        return {TENANT: self._rows_there}

    def position(self) -> int:
        return self._rows_there


def child(tier: str, folder: Path) -> None:
    """Print what opening an index and asking it takes of anonymous memory, in bytes a vector, and what stats() says."""

    def anonymous() -> int:
        (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon")]
        return 1024 * int(line.split()[1])

    def opened(rows: int, where: Path) -> TenantIndexes:
        budget = 0 if tier == "ssd" else None
        settings = Shop(where, Uncoded(), list_coder="rabitq", index_ram_bytes=budget).settings
        return TenantIndexes(Unchanged(rows), Uncoded(), settings, where)

    def asked(indexes: TenantIndexes) -> list[int]:
        found = [indexes.search(TENANT, query[None], 10)[1][0].tolist() for query in queries(CHILD_QUERIES, CHILD_DIM)]
        return [pk for own in found for pk in own]

    asked(opened(1100, folder / "small"))  # what a process takes once
    ctypes.CDLL(None).malloc_trim(0)
    before = anonymous()
    indexes = opened(CHILD_ROWS, folder / "large")
    found = asked(indexes)
    taken, said = anonymous() - before, indexes.stats()[TENANT]["ram_bytes"]
    print(json.dumps({"bytes": round(taken / CHILD_ROWS, 1), "said": round(said / CHILD_ROWS, 1), "found": found}))


if __name__ == "__main__":
    child(sys.argv[1], Path(sys.argv[2]))
