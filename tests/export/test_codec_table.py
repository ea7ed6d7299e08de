"""The table's coders and figures, against the device's own re-ranking and the slow formulas."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sightline_edge.rerank import rerank, unit
from sightline_export.codec_table import (
    Ask,
    allocate,
    ask_figures,
    codec_table,
    coders,
    flat,
    questions,
    train_transform,
    write_table,
)
from sightline_export.data import Photo, PhotoSet
from sightline_export.recipe import Codec as Settings
from sightline_export.train_codec import train_codec
from sightline_shared.protocol import Match

DIM = 64


def vectors_of(count: int, seed: int, centres: int = 12) -> tuple[np.ndarray, list[str]]:
    rng = np.random.default_rng(seed)
    middle = np.random.default_rng(7).standard_normal((centres, DIM)) * np.linspace(2, 0.2, DIM)
    labels = rng.integers(0, centres, count)
    return unit((middle[labels] + 0.5 * rng.standard_normal((count, DIM))).astype(np.float32)), [
        f"c{n}" for n in labels
    ]


@pytest.fixture(scope="module")
def world() -> tuple[PhotoSet, np.ndarray]:
    vectors, labels = vectors_of(700, 1)
    photos = [
        Photo(Path(f"{i}.png"), "shop", "catalogue", "train" if i < 500 else "test", "", label, "", True)
        if i < 600
        else Photo(Path(f"{i}.png"), "others", "outside", "test", "", label, "", False, held_out=i < 650)
        for i, label in enumerate(labels)
    ]
    return PhotoSet(photos, [], np.empty((0, 1, 1, 3), np.uint8), []), vectors


def test_reranking_in_the_table_is_what_the_device_does(world: tuple[PhotoSet, np.ndarray]) -> None:
    photos, vectors = world
    codec = train_codec(vectors, 8, 5)
    codes = codec.encode(vectors)
    decoded = unit(codec.decode(codes))
    queries, gallery = np.arange(500, 600), np.arange(500)
    shares, first = [], []
    for query in queries:
        served = np.argsort(-(vectors[gallery] @ decoded[query]), kind="stable")[:20]
        matches = tuple(Match(str(i), float(vectors[i] @ decoded[query]), {}, 0, codes[i].tobytes()) for i in served)
        ranked = [int(match.id) for match in rerank(matches, vectors[query][None], (codes[query].tobytes(),), codec)]
        truth = np.argsort(-(vectors[gallery] @ vectors[query]), kind="stable")[:10]
        shares.append(len(set(ranked[:10]) & set(truth.tolist())) / 10)
        first.append(photos.photos[ranked[0]].fine == photos.photos[query].fine)
    figures = ask_figures(photos, vectors, decoded, Ask("shop", queries, gallery, False))
    assert figures["shop.reranked.overlap@10"].value == pytest.approx(np.mean(shares), abs=2e-3)
    assert figures["shop.reranked.R@1"].value == pytest.approx(np.mean(first), abs=0.011)
    assert figures["shop.reranked.overlap@10"].value > figures["shop.overlap@10"].value
    assert figures["shop.top10_in_20"].value >= figures["shop.overlap@10"].value


def test_a_picture_never_answers_itself(world: tuple[PhotoSet, np.ndarray]) -> None:
    photos, vectors = world
    rows = np.arange(600, 700)
    figures = ask_figures(photos, vectors, vectors, Ask("others.all", rows, rows, True))
    assert figures["others.all.overlap@10"].value == 1.0
    slow = []
    for row in rows:
        others = [other for other in rows if other != row]
        if any(photos.photos[other].fine == photos.photos[row].fine for other in others):
            nearest = max(others, key=lambda other, row=row: float(vectors[other] @ vectors[row]))
            slow.append(photos.photos[nearest].fine == photos.photos[row].fine)
    assert figures["others.all.R@1"].value == pytest.approx(np.mean(slow))


def test_who_asks_whom(world: tuple[PhotoSet, np.ndarray]) -> None:
    asks = {ask.name: (len(ask.queries), len(ask.gallery), ask.itself) for ask in questions(world[0])}
    assert asks == {"shop": (100, 500, False), "others.all": (100, 100, True), "others.unseen": (50, 50, True)}


def test_bits_go_where_the_error_is_largest() -> None:
    variances = np.array([64.0, 16.0, 4.0, 1.0, 0.0])
    given = allocate(variances, 10)
    assert given.sum() == 10 and given.tolist() == [4, 3, 2, 1, 0]
    assert allocate(variances, 1000).tolist() == [8] * 5


def test_transform_coding_takes_the_nearest_level_of_every_component() -> None:
    vectors, _ = vectors_of(600, 3)
    coder = train_transform(vectors, 128, 1)
    assert sum(np.log2(len(levels)) for levels in coder.levels) == pytest.approx(128)
    turned = (vectors[:20] - coder.mean) @ coder.axes
    slow = np.array(
        [[levels[np.abs(levels - x).argmin()] for levels, x in zip(coder.levels, row, strict=True)] for row in turned]
    )
    np.testing.assert_allclose(coder.roundtrip(vectors[:20]), slow @ coder.axes.T + coder.mean, atol=1e-4)


def test_the_table_has_every_coder_and_is_written(world: tuple[PhotoSet, np.ndarray], tmp_path: Path) -> None:
    photos, vectors = world
    settings = Settings(subspaces=16, iterations=3)
    shipped = train_codec(vectors, 16, 3)
    names = list(coders(vectors, vectors[:500], shipped, settings, 1))
    assert names[0] == "shipped, 16 bytes" and "SQ8, 64 bytes" in names and "transform coding, 64 bytes" in names
    table = codec_table(photos, vectors, vectors, vectors[:500], shipped, settings, 1)
    assert list(table) == names
    assert table["SQ8, 64 bytes"]["shop.overlap@10"].value > table["shipped, 16 bytes"]["shop.overlap@10"].value
    write_table(tmp_path, table)
    text = (tmp_path / "codec.md").read_text()
    assert text.count("| SQ8, 64 bytes |") == 3 and (tmp_path / "codec.json").stat().st_size > 1000
    found = flat(table)
    assert found["codec.shop, SQ8, 64 bytes.overlap@10"] == table["SQ8, 64 bytes"]["shop.overlap@10"]
    again = table["SQ8, 64 bytes"]["shop.reranked.overlap@10"]
    assert found["codec.shop, SQ8, 64 bytes.overlap@10 re-ranked"] == again
    groups = [name.split(",")[0] for name in found]
    assert groups == sorted(groups, key=groups.index)  # the coders of one group stand together
    assert not [name for name in found if "mAP" in name or ".float" in name]
