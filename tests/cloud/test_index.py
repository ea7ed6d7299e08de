"""The indexes: exact is exact, the large one holds the wire's own codes, and both keep up with the change log."""

import threading

import numpy as np
import pytest
from support.tiny_bundle import DIM

from sightline_cloud.catalog.database import Database
from sightline_cloud.catalog.store import NewItem, Store
from sightline_cloud.index.flat import FlatIndex
from sightline_cloud.index.ivf import IvfIndex, IvfSettings
from sightline_cloud.index.tenants import TenantIndexes
from sightline_cloud.settings import Settings
from sightline_export.train_codec import train_codec
from sightline_shared.errors import IndexFailed


def clustered(count: int, seed: int = 0, spread: float = 0.35) -> np.ndarray:
    """Unit vectors around 60 centres: what embeddings of many classes look like."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(60, DIM))
    vectors = centres[rng.integers(0, 60, count)] + spread * rng.normal(size=(count, DIM)) * np.linspace(3, 0.2, DIM)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def gallery() -> np.ndarray:
    return clustered(6000)


@pytest.fixture(scope="module")
def codec(gallery):
    return train_codec(gallery[:4000], 64, iterations=6)


def exact(queries: np.ndarray, vectors: np.ndarray, k: int) -> np.ndarray:
    return np.argsort(-(queries @ vectors.T), axis=1, kind="stable")[:, :k]


def make(kind: str, gallery: np.ndarray, codec):
    if kind == "flat":
        return FlatIndex(DIM)
    stored = gallery.astype(np.float16).astype(np.float32)
    fetch = lambda pks: {pk: stored[pk] for pk in pks if pk < len(stored)}  # noqa: E731
    return IvfIndex(gallery, codec, fetch, IvfSettings(nprobe=24, rescore=100))


@pytest.mark.parametrize("kind", ["flat", "ivf"])
def test_every_index_keeps_the_contract(kind: str, gallery, codec) -> None:
    index = make(kind, gallery, codec)
    ids = np.arange(len(gallery), dtype=np.int64)
    index.add(ids, gallery)
    assert len(index) == len(gallery)
    scores, found = index.search(gallery[:50], 5)
    assert scores.shape == found.shape == (50, 5)
    assert (found[:, 0] == ids[:50]).mean() >= 0.98
    np.testing.assert_allclose(scores[:, 0], 1, atol=5e-3)
    assert (np.diff(scores, axis=1) <= 1e-6).all()
    assert index.remove(ids[:10]) == 10 and index.remove(ids[:10]) == 0
    _, found = index.search(gallery[:10], 5)
    assert not set(found.ravel().tolist()) & set(range(10))
    assert len(index) == len(gallery) - 10


def test_more_than_there_is_comes_back_as_minus_one(codec, gallery) -> None:
    index = FlatIndex(DIM)
    index.add(np.array([7, 9], np.int64), gallery[:2])
    _, found = index.search(gallery[:1], 4)
    assert found[0].tolist()[2:] == [-1, -1] and set(found[0].tolist()[:2]) == {7, 9}


def test_the_lists_hold_the_very_codes_of_the_wire(gallery, codec) -> None:
    index = make("ivf", gallery, codec)
    index.add(np.arange(len(gallery), dtype=np.int64), gallery)
    ids, codes = index.codes()
    assert sorted(ids.tolist()) == list(range(len(gallery)))
    assert (codes == codec.encode(gallery[ids])).mean() > 0.9999


def test_the_large_index_finds_what_the_exact_one_finds(gallery, codec) -> None:
    index = make("ivf", gallery, codec)
    index.add(np.arange(len(gallery), dtype=np.int64), gallery)
    queries = clustered(200, seed=5)
    _, found = index.search(queries, 10)
    truth = exact(queries, gallery, 10)
    recall = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found.tolist(), truth.tolist(), strict=True)])
    assert recall > 0.9


def test_too_few_vectors_to_train_on_are_named(codec, gallery) -> None:
    with pytest.raises(IndexFailed, match="expected at least 39 vectors to train on, got 10"):
        make("ivf", gallery[:10], codec)


@pytest.fixture
def store(tmp_path, codec) -> Store:
    return Store(Database(tmp_path / "c.sqlite", b"pairing1"))


def items(vectors: np.ndarray, codec, start: int = 0) -> list[NewItem]:
    codes = codec.encode(vectors)
    return [
        NewItem(f"i{start + n}", vector, code.tobytes(), b"", (1, 1)) for n, (vector, code) in enumerate(zip(vectors, codes, strict=True))
    ]  # fmt: skip


def test_a_tenant_that_grows_moves_to_the_large_index_and_loses_nothing(store, codec, gallery) -> None:
    indexes = TenantIndexes(store, codec, Settings(ivf_min_vectors=1000))
    for start in range(0, 3000, 500):
        store.add("t", items(gallery[start : start + 500], codec, start))
        indexes.catch_up()
        assert indexes.stats()["t"] == {"kind": "flat" if start < 500 else "ivf", "vectors": start + 500}
    rebuilt = TenantIndexes(store, codec, Settings(ivf_min_vectors=1000))
    assert rebuilt.stats() == indexes.stats() and rebuilt.seq == indexes.seq
    store.remove("t", [f"i{n}" for n in range(100)])
    indexes.catch_up()
    _, pks = indexes.search("t", gallery[:100], 10)
    assert not set(pks.ravel().tolist()) & set(range(1, 101))


def test_catching_up_twice_or_from_two_threads_adds_nothing_twice(store, codec, gallery) -> None:
    indexes = TenantIndexes(store, codec, Settings())
    store.add("t", items(gallery[:300], codec))
    threads = [threading.Thread(target=indexes.catch_up) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert indexes.stats()["t"]["vectors"] == 300 and indexes.catch_up() == 0


def test_searching_beside_adding_and_removing_never_fails(store, codec, gallery) -> None:
    indexes = TenantIndexes(store, codec, Settings())
    store.add("t", items(gallery[:200], codec))
    indexes.catch_up()
    stop, failures = threading.Event(), []

    def ask() -> None:
        while not stop.is_set():
            try:
                scores, pks = indexes.search("t", gallery[150:151], 5)
                assert pks[0, 0] == 151 and scores[0, 0] > 0.99
            except Exception as error:
                failures.append(error)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for round_ in range(15):
        store.add("t", items(gallery[1000 + 20 * round_ : 1020 + 20 * round_], codec, 1000 + 20 * round_))
        store.remove("t", [f"i{round_}"])
        indexes.catch_up()
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures
    assert indexes.stats()["t"]["vectors"] == 200 + 15 * 20 - 15
