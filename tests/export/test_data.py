"""Sources: manifests and folders, held-out classes, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sightline_export.data import list_photos, load_photos
from sightline_export.progress import Progress
from sightline_export.recipe import Bars, Recipe, Source
from sightline_shared.errors import ImageUnreadable, ManifestInvalid, TrainingDataTooSmall

Folder = Callable[..., Path]


def recipe(folder: Path, *sources: Source, least: int = 4) -> Recipe:
    return Recipe("test", sources, bars=Bars(smallest_training_set=least), base=folder)


def test_a_folder_is_split_by_hash_the_same_way_every_time(tmp_path: Path, write_folder: Folder) -> None:
    write_folder(tmp_path / "photos")
    source = Source("mine", folder="photos", val_share=0.25, test_share=0.2)
    photos = list_photos(recipe(tmp_path, source))
    assert len(photos) == 48 and {photo.fine for photo in photos} == {"disc", "bar", "ring", "cross"}
    roles = [photo.role for photo in photos]
    assert 5 <= roles.count("val") <= 20 and 3 <= roles.count("test") <= 18
    assert photos == list_photos(recipe(tmp_path, source))


def test_a_manifest_gives_roles_labels_and_studio_pictures(tmp_path: Path, write_folder: Folder) -> None:
    write_folder(tmp_path)
    rows = [
        f"{item}/{view:02d}.png,{split},shop,shapes,{item}"
        for item in ("disc", "bar")
        for view, split in enumerate(("train", "train", "val", "iconic", "unused"))
    ]
    (tmp_path / "manifest.csv").write_text("path,split,domain,coarse,fine\n" + "\n".join(rows) + "\nx,train,other,,\n")
    source = Source("shop", manifest="manifest.csv", domain="shop", train=("train", "iconic"), studio=("iconic",))
    photos = list_photos(recipe(tmp_path, source))
    assert [photo.role for photo in photos] == ["train", "train", "val", "train"] * 2
    assert [photo.studio for photo in photos] == [False, False, False, True] * 2
    assert all(photo.labelled and photo.category == "shop/shapes" for photo in photos)


def test_held_out_classes_are_never_trained_on(tmp_path: Path, write_folder: Folder) -> None:
    write_folder(tmp_path / "photos")
    photos = list_photos(recipe(tmp_path, Source("mine", folder="photos", holdout_classes=0.5)))
    held = {photo.fine for photo in photos if photo.held_out}
    assert len(held) == 2
    assert not [photo for photo in photos if photo.fine in held and photo.role == "train"]


def test_outside_photographs_have_no_labels(tmp_path: Path, write_folder: Folder) -> None:
    write_folder(tmp_path / "photos")
    write_folder(tmp_path / "others")
    sources = (Source("mine", folder="photos"), Source("other", folder="others", kind="outside"))
    photos = list_photos(recipe(tmp_path, *sources))
    assert {photo.labelled for photo in photos if photo.kind == "outside"} == {False}


def test_too_few_photographs_or_classes_are_refused(tmp_path: Path, write_folder: Folder) -> None:
    write_folder(tmp_path / "photos", views=3)
    with pytest.raises(TrainingDataTooSmall, match="at least 100"):
        list_photos(recipe(tmp_path, Source("mine", folder="photos"), least=100))
    with pytest.raises(TrainingDataTooSmall, match="at least 2 labelled items, got 0"):
        list_photos(recipe(tmp_path, Source("mine", folder="photos", labels=False)))
    for view in range(2, 6):
        (tmp_path / "one" / f"item{view}").mkdir(parents=True)
        data = (tmp_path / "photos" / "disc" / "00.png").read_bytes()
        (tmp_path / "one" / f"item{view}" / "only.png").write_bytes(data)
    with pytest.raises(TrainingDataTooSmall, match="photographs per item"):
        list_photos(recipe(tmp_path, Source("mine", folder="one", val_share=0.0), least=2))


def test_missing_sources_are_refused_unless_optional(tmp_path: Path, write_folder: Folder) -> None:
    write_folder(tmp_path / "photos")
    mine = Source("mine", folder="photos")
    with pytest.raises(ManifestInvalid, match="got nothing there"):
        list_photos(recipe(tmp_path, mine, Source("gone", folder="nowhere")))
    assert list_photos(recipe(tmp_path, mine, Source("gone", manifest="${GONE}/m.csv", optional=True)))
    (tmp_path / "bad.csv").write_text("file,label\na.png,b\n")
    with pytest.raises(ManifestInvalid, match="expected the columns"):
        list_photos(recipe(tmp_path, Source("bad", manifest="bad.csv")))


def test_unreadable_files_are_named(tmp_path: Path, write_folder: Folder) -> None:
    write_folder(tmp_path / "photos")
    (tmp_path / "photos" / "disc" / "03.png").write_bytes(b"not a picture")
    (tmp_path / "photos" / "ring" / "04.png").write_bytes((tmp_path / "photos" / "ring" / "05.png").read_bytes()[:90])
    photos = list_photos(recipe(tmp_path, Source("mine", folder="photos")))
    with pytest.raises(ImageUnreadable, match="got 2 that are not") as caught:
        load_photos(photos, 64, Progress(quiet=True))
    assert "03.png" in caught.value.message and "04.png" in caught.value.message
