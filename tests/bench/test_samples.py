"""The sample renderer: same seed same pixels, siblings, sizes, manifest, blur and refusals."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sightline_bench.samples import (
    DISTRACTOR_KINDS,
    MANIFEST_COLUMNS,
    SampleError,
    blurred,
    distractor,
    make_items,
    phone_view,
    studio_view,
    write_catalogue,
)
from sightline_bench.samples import labels as labels_module


def laplacian_variance(image: Image.Image) -> float:
    grey = np.asarray(image.convert("L"), dtype=np.float64)
    inner = -4 * grey[1:-1, 1:-1]
    return float((inner + grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]).var())


def difference(a: Image.Image, b: Image.Image) -> float:
    return float(np.abs(np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)).mean())


def test_items_are_deterministic_and_a_prefix_of_a_longer_list() -> None:
    assert make_items(40, seed=3) == make_items(90, seed=3)[:40]
    assert make_items(40, seed=3) != make_items(40, seed=4)
    assert make_items(0) == []


def test_items_spread_over_families_in_sibling_groups() -> None:
    items = make_items(80)
    assert len({i.id for i in items}) == 80
    assert len({i.drawing for i in items}) == 80
    assert len({i.category for i in items}) >= 10
    groups = Counter(i.group for i in items)
    assert sum(1 for size in groups.values() if size >= 2) >= 20
    for group in groups:
        members = [i for i in items if i.group == group]
        assert len({i.category for i in members}) == 1
        assert len({i.drawing.shape for i in members}) == 1
        assert len({(i.drawing.label, i.drawing.trim) for i in members}) == len(members)


def test_ids_and_titles_say_what_the_item_is() -> None:
    for item in make_items(20):
        family, number, tag = item.id.split("-")
        assert family == item.category and number.isdigit() and len(tag) == 4
        assert item.drawing.label.brand in item.title and item.category in item.title


def test_studio_views_repeat_and_siblings_differ() -> None:
    items = make_items(32)
    first = [studio_view(i, 96) for i in items]
    labels_module.render_label.cache_clear()
    labels_module.wrap_label.cache_clear()
    assert all(studio_view(i, 96).tobytes() == image.tobytes() for i, image in zip(items[:6], first, strict=False))
    assert {(image.mode, image.size) for image in first} == {("RGB", (96, 96))}
    assert len({image.tobytes() for image in first}) == len(items)
    for a, b in zip(first[::2], first[1::2], strict=True):
        assert difference(a, b) > 0.5


def test_the_studio_ground_is_light_at_the_corners() -> None:
    for item in make_items(8):
        pixels = np.asarray(studio_view(item, 128))
        assert pixels[[0, 0], [0, -1]].min() > 200


def test_phone_views_repeat_and_change_with_the_view_seed() -> None:
    item = make_items(1)[0]
    view = phone_view(item, 7)
    assert (view.mode, view.size) == ("RGB", (480, 640))
    assert view.tobytes() == phone_view(item, 7).tobytes()
    assert difference(view, phone_view(item, 8)) > 5
    assert phone_view(item, 7, size_px=(121, 163)).size == (121, 163)


@pytest.mark.parametrize("difficulty", [0.0, 1.0])
def test_every_family_renders_at_both_ends_of_difficulty(difficulty: float) -> None:
    for item in make_items(32)[::2]:
        view = phone_view(item, 1, size_px=(96, 128), difficulty=difficulty)
        assert np.asarray(view).std() > 8


@pytest.mark.parametrize("kind", range(len(DISTRACTOR_KINDS)))
def test_every_distractor_kind_renders_and_repeats(kind: int) -> None:
    image = distractor(kind, (150, 200))
    assert (image.mode, image.size) == ("RGB", (150, 200))
    assert np.asarray(image).std() > 8
    assert image.tobytes() == distractor(kind, (150, 200)).tobytes()
    assert image.tobytes() != distractor(kind + len(DISTRACTOR_KINDS), (150, 200)).tobytes()


def test_blurred_takes_nearly_all_detail_away() -> None:
    for k, item in enumerate(make_items(9)[::3]):
        sharp = phone_view(item, 2, difficulty=0.2)
        smeared = blurred(sharp, seed=k)
        assert smeared.size == sharp.size and smeared.mode == "RGB"
        assert smeared.tobytes() == blurred(sharp, seed=k).tobytes()
        assert laplacian_variance(smeared) < 0.05 * laplacian_variance(sharp)


def test_write_catalogue_writes_the_manifest_and_every_picture(tmp_path: Path) -> None:
    items, seen = make_items(3), list[tuple[int, int]]()
    manifest = write_catalogue(tmp_path, items, phone_views=2, progress=lambda done, total: seen.append((done, total)))
    with manifest.open(newline="", encoding="utf-8") as handle:
        table = csv.DictReader(handle)
        rows = list(table)
    assert manifest == tmp_path / "manifest.csv"
    assert table.fieldnames == list(MANIFEST_COLUMNS)
    assert ",".join(MANIFEST_COLUMNS) == "path,split,domain,coarse,fine,instance,caption,source,licence"
    assert Counter(row["split"] for row in rows) == {"iconic": 3, "train": 6}
    assert seen == [(1, 3), (2, 3), (3, 3)]
    by_id = {item.id: item for item in items}
    for row in rows:
        item = by_id[row["instance"]]
        assert (row["domain"], row["coarse"], row["fine"]) == ("rendered", item.category, item.id)
        assert (row["caption"], row["licence"]) == (item.title, "Apache-2.0")
        assert row["source"].startswith("sightline samples seed=")
        with Image.open(tmp_path / row["path"]) as picture:
            assert picture.format == "JPEG" and picture.mode == "RGB"


def test_wrong_requests_are_refused_with_what_was_expected(tmp_path: Path) -> None:
    item = make_items(1)[0]
    with pytest.raises(SampleError, match="expected a count of items"):
        make_items(-1)
    with pytest.raises(SampleError, match="expected sides"):
        studio_view(item, 8)
    with pytest.raises(SampleError, match="expected a difficulty"):
        phone_view(item, 0, difficulty=1.5)
    with pytest.raises(SampleError, match="expected sides"):
        distractor(0, (8, 8))
    with pytest.raises(SampleError, match="expected a count of phone views"):
        write_catalogue(tmp_path, [item], phone_views=-1)
