"""The parts of the retrieval benchmark: data, exact neighbours, filters, the catalogue over a file, page cache, figures."""

import importlib.util
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from sightline_bench.retrieval.contenders import CONTENDERS, create
from sightline_bench.retrieval.contenders.buckets import BUCKETS, PASSING, allowed, buckets
from sightline_bench.retrieval.cost import line, power_law
from sightline_bench.retrieval.dataset import real
from sightline_bench.retrieval.feed import TENANT, NpyFeed
from sightline_bench.retrieval.figures import against, chosen
from sightline_bench.retrieval.growth import Growth
from sightline_bench.retrieval.measure import Asked, K, batches, side_by_side
from sightline_bench.retrieval.pages import drop, resident_share
from sightline_bench.retrieval.synthetic import Generator, Mixture
from sightline_bench.retrieval.truth import exact, recall, two_nn
from sightline_shared.errors import ServiceFailed
from sightline_shared.where import Where

SMALL = Mixture(dim=32, rank=4, clusters=20)


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_a_synthetic_row_is_the_same_however_many_there_are() -> None:
    generator = Generator(SMALL)
    short, long = np.concatenate(list(generator.chunks(100))), np.concatenate(list(generator.chunks(50_100)))
    assert len(short) == 100 and len(long) == 50_100
    assert np.array_equal(short, long[:100])
    assert np.allclose(np.linalg.norm(long, axis=1), 1, atol=1e-5)


def test_synthetic_queries_are_no_rows() -> None:
    generator = Generator(SMALL)
    rows, queries = np.concatenate(list(generator.chunks(2000))), generator.queries(50)
    assert (queries @ rows.T).max() < 0.999999


def test_grown_vectors_begin_with_the_real_ones_and_stay_near_them() -> None:
    rng = np.random.default_rng(0)
    means = unit(rng.normal(size=(30, 1, 16)))
    views = unit((means + 0.05 * rng.normal(size=(30, 4, 16))).reshape(-1, 16)).reshape(30, 4, 16).astype(np.float16)
    grown = np.concatenate(list(Growth(views, seed=0).chunks(500)))
    real = views.reshape(120, 16).astype(np.float32)
    assert grown.shape == (500, 16)
    assert np.array_equal(np.sort(grown[:120], axis=0), np.sort(real, axis=0))
    assert np.allclose(np.linalg.norm(grown[120:], axis=1), 1, atol=1e-5)
    assert not (grown[120:] @ real.T > 0.999999).any()


def test_exact_search_in_chunks_is_brute_force() -> None:
    rng = np.random.default_rng(1)
    vectors, queries = unit(rng.normal(size=(400, 8))).astype(np.float32), unit(rng.normal(size=(7, 8)))
    scores, rows = exact(queries.astype(np.float32), [vectors[:150], vectors[150:153], vectors[153:]], 5)
    cosines = queries @ vectors.T
    assert np.array_equal(rows, np.argsort(-cosines, axis=1)[:, :5])
    assert np.allclose(scores, np.sort(cosines, axis=1)[:, ::-1][:, :5], atol=1e-5)


def test_exact_search_fills_what_is_not_there_with_minus_one() -> None:
    _, rows = exact(np.eye(2, dtype=np.float32), [np.eye(2, dtype=np.float32)[:1]], 3)
    assert rows.tolist() == [[0, -1, -1], [0, -1, -1]]


def test_recall_counts_true_neighbours_wherever_they_stand() -> None:
    found = np.array([[5, 4, 9], [1, 2, -1], [7, 7, 7]])
    truth = np.array([[4, 5, 6], [1, -1, -1], [1, 2, 3]])
    assert recall(found, truth) == pytest.approx([2 / 3, 1, 0])


def test_two_nn_finds_the_dimension_of_a_flat_patch() -> None:
    rng = np.random.default_rng(2)
    axes = np.linalg.qr(rng.normal(size=(64, 6)))[0].T
    flat = rng.uniform(-0.2, 0.2, size=(20_500, 5)) @ axes[:5]
    vectors = unit(flat + axes[5]).astype(np.float32)
    scores, _ = exact(vectors[:500], [vectors[500:]], 2)
    assert two_nn(scores) == pytest.approx(5, rel=0.15)


@pytest.mark.parametrize("passing", PASSING)
def test_filters_let_their_share_pass(passing: int) -> None:
    count = int(allowed(1_000_000, passing).sum())
    share = passing / BUCKETS
    assert abs(count - 1_000_000 * share) < 5 * np.sqrt(1_000_000 * share)


@pytest.fixture
def feed() -> NpyFeed:
    rows = np.arange(40, dtype=np.float16).reshape(20, 2)
    return NpyFeed("here", rows[:15], lambda vectors: vectors.astype(np.uint8), rows[15:])


def test_the_catalogue_over_a_file_shows_what_was_added(feed: NpyFeed) -> None:
    assert feed.tenants() == {TENANT: 15} and feed.changes_since(15) == []
    feed.add(2)
    assert [(change.seq, change.pk, change.op) for change in feed.changes_since(15)] == [
        (16, 16, "add"),
        (17, 17, "add"),
    ]
    assert [change.seq for change in feed.changes_since(3, limit=4)] == [4, 5, 6, 7]
    rows = feed.rows([17, 1, 18, 1])
    assert rows.pks.tolist() == [1, 17] and rows.vectors.tolist() == [[0, 1], [32, 33]]
    assert rows.codes.tolist() == [[0, 1], [32, 33]]
    feed.add(99)
    assert feed.position() == len(feed) == 20


def test_its_view_does_not_move_when_rows_are_added(feed: NpyFeed) -> None:
    with feed.snapshot(TENANT, chunk=6) as view:
        feed.add(5)
        chunks = list(view.chunks)
    assert (view.seq, view.count) == (15, 15)
    assert np.concatenate([chunk.pks for chunk in chunks]).tolist() == list(range(1, 16))
    assert [len(chunk) for chunk in chunks] == [6, 6, 3]


def test_its_metadata_says_which_filters_a_row_passes(feed: NpyFeed) -> None:
    pks = list(range(1, 16))
    for passing in PASSING:
        (key, values), *_ = Where.of({f"below_{passing}": True}).terms
        assert values == (("bool", True),)
        shown = [fields[key] for fields in feed.rows(pks).metadata]
        assert shown == (buckets(np.arange(15)) < passing).tolist()


def test_dropped_files_leave_the_page_cache(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(os.urandom(1 << 20))
    assert resident_share([file]) > 0.9
    drop([file])
    if resident_share([file]) == 1:
        pytest.skip("this file system keeps its pages")
    assert resident_share([file]) < 0.01


def asked(cpu_us: list[float]) -> Asked:
    return Asked(np.zeros((len(cpu_us), 10), np.int64), np.array([cpu_us]) * 2, np.array([cpu_us]))


def test_the_ratio_is_that_of_medians_over_the_same_queries() -> None:
    rng = np.random.default_rng(3)
    limit = rng.lognormal(5, 0.3, 500)
    figure = against(asked((1.1 * limit).tolist()), asked(limit.tolist()))["cpu"]
    assert figure["value"] == pytest.approx(1.1, abs=1e-3)
    assert figure["interval"] == pytest.approx([1.1, 1.1], abs=1e-3)


def test_the_chosen_point_is_the_cheapest_with_enough_recall() -> None:
    def at(effort: int, found: float, cpu: float) -> dict[str, object]:
        return {"effort": effort, "recall": {"value": found}, "cpu_ms": {"p50": cpu}}

    assert chosen([at(1, 0.8, 1), at(2, 0.96, 2), at(3, 0.99, 3)])["effort"] == 2
    assert chosen([at(1, 0.8, 1), at(2, 0.93, 2), at(3, 0.9, 3)])["effort"] == 2


def test_a_power_law_is_found_again() -> None:
    found = power_law({n: 3e-4 * n**0.5 for n in (10**5, 10**6, 10**7)})
    assert found["curve"] == "n^0.50" and found["largest_error"] == 0
    assert found["at_billion"] == pytest.approx(3e-4 * 10**4.5)


def test_bytes_are_a_fixed_part_and_so_many_a_vector() -> None:
    found = line({n: 4e6 + 57 * n for n in (3 * 10**4, 10**5, 10**6)})
    assert found["curve"] == "57.0 n + 4e+06" and found["largest_error"] == 0
    assert found["at_billion"] == pytest.approx(57e9, rel=1e-3)


class Scripted:
    """Stands for a contender's process: answers 1 s of CPU for the batch, and block by block until it `fails_at`."""

    def __init__(self, contender: str, fails_at: int | None = None) -> None:
        self.contender, self.asked, self._fails_at = contender, 0, fails_at

    def ask(self, do: str, **arguments: int) -> dict[str, object]:
        self.asked += 1
        if self.asked == self._fails_at:
            raise ServiceFailed(f"{self.contender}: gone")
        if do == "batch":
            return {"cpu_s": 1.0}
        first, count = arguments["first"], arguments["count"]
        return {"rows": [[first + n] * K for n in range(count)], "wall_us": [2.0] * count, "cpu_us": [1.0] * count}


def test_a_contender_that_fails_amid_the_questions_is_left_out_and_asked_no_more() -> None:
    children = {"good": Scripted("good"), "bad": Scripted("bad", fails_at=3)}
    failed: dict[str, str] = {}
    found = side_by_side(children, {"good": (1, 2), "bad": (1, 2)}, 250, 2, failed, lambda: None)
    assert failed == {"bad": "bad: gone"} and children["bad"].asked == 3
    assert set(found) == {("good", 1), ("good", 2)}
    assert found["good", 2].rows[:, 0].tolist() == list(range(250)) and found["good", 2].cpu_us.shape == (2, 250)


def test_a_contender_that_fails_at_a_batch_is_left_out_and_asked_no_more() -> None:
    children = {"bad": Scripted("bad", fails_at=2), "good": Scripted("good")}
    failed: dict[str, str] = {}
    assert batches(children, {"good": 1, "bad": 1}, 1, 3, failed) == {"good": [{"cpu_s": 1.0}] * 3}
    assert failed == {"bad": "bad: gone"} and children["bad"].asked == 2


def test_each_student_has_real_vectors_of_its_own(tmp_path: Path) -> None:
    made = []
    for number, digest in enumerate(("a" * 64, "b" * 64)):
        manifest = SimpleNamespace(roles={"student": "it"}, files={"it": SimpleNamespace(sha256=digest)})
        device = SimpleNamespace(bundle=SimpleNamespace(manifest=manifest, label=f"shop {number}"))
        rng = np.random.default_rng(number)
        views, queries = unit(rng.normal(size=(60, 2, 16))), unit(rng.normal(size=(150, 16)))
        held = tmp_path / f"embeddings-{digest[:12]}-2.npz"
        np.savez(held, views=views.astype(np.float16), queries=queries.astype(np.float32))
        made.append(real(tmp_path, 200, tmp_path, device, 2, lambda count: None, queries=20))
    one, other = made
    assert one.folder != other.folder and one.about["bundle"] == "shop 0" and other.about["bundle"] == "shop 1"
    assert one.vectors().shape == other.vectors().shape == (200, 16)
    assert not np.array_equal(one.vectors(), other.vectors())


@pytest.mark.parametrize(
    ("name", "coder", "code_bytes"),
    [
        ("sightline", "rabitq", 64),
        ("sightline-pq64", "pq", 64),
        ("sightline-pq32", "pq", 32),
        ("sightline-fs32", "fastscan", 32),
    ],
)
def test_sightline_is_measured_with_each_list_coder(name: str, coder: str, code_bytes: int) -> None:
    settings = create(name).settings
    assert (settings["list_coder"], settings["bytes of a wire code"]) == (coder, code_bytes)


@pytest.mark.parametrize("name", [name for name, entry in CONTENDERS.items() if entry.library == "faiss"])
def test_who_has_no_files_of_another_builds_its_own(name: str) -> None:
    assert hasattr(create(name), "build") or hasattr(create(CONTENDERS[name].built_by), "build")


@pytest.mark.parametrize("name", CONTENDERS)
def test_every_contender_has_its_module(name: str) -> None:
    module = CONTENDERS[name].module
    assert importlib.util.find_spec(f"sightline_bench.retrieval.contenders.{module}")
    assert CONTENDERS[name].built_by in ("", *CONTENDERS)
