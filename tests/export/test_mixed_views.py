"""Mixed views: files made once, crops and mixtures of training photographs, embedded like any photograph."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from sightline_export.data import PhotoSet, list_photos, load_photos
from sightline_export.mixed_views import mixed, source_chances, with_mixed_views
from sightline_export.progress import Progress
from sightline_export.recipe import Recipe, Source, Strength, Student, Teacher
from sightline_export.workspace import Run

STILL = Strength(crop_area=(1.0, 1.0), flip=0.0, warp=0.0, colour=0.0)


def test_views_stand_after_the_photographs_and_are_made_once(tmp_path: Path, write_folder: Callable[..., Path]) -> None:
    recipe = Recipe(
        "drawn",
        (Source("mine", folder=str(write_folder(tmp_path / "photos", views=14)), val_share=0.3),),
        student=Student(size=32),
        teacher=Teacher(mixed_views=5),
    )
    run = Run(recipe, tmp_path / "run", Progress(), tmp_path / "features")
    photos = load_photos(list_photos(recipe), 32, run.progress)
    seen = with_mixed_views(run, photos)
    assert len(seen) == len(photos) + 5 and seen.digests[: len(photos)] == photos.digests
    assert seen.where(role="view").tolist() == list(range(len(photos), len(seen)))
    assert seen.pixels(len(photos), 48).shape == (48, 48, 3)
    assert with_mixed_views(run, photos).digests == seen.digests
    fewer = PhotoSet(photos.photos[8:], photos.images[8:], photos.tensors[8:], photos.digests[8:])
    assert not set(with_mixed_views(run, fewer).digests[len(fewer) :]) & set(seen.digests)  # same folder, nothing stale
    elsewhere = dataclasses.replace(run, recipe=dataclasses.replace(recipe, seed=2), folder=tmp_path / "other")
    assert with_mixed_views(elsewhere, photos).digests == seen.digests
    assert (
        with_mixed_views(dataclasses.replace(run, recipe=dataclasses.replace(recipe, teacher=Teacher())), photos)
        is photos
    )


def test_a_view_is_a_crop_a_blend_or_a_join() -> None:
    black, white = (Image.new("RGB", (64, 64), shade) for shade in ("black", "white"))
    kinds = set()
    for seed in range(40):
        view = mixed(
            black, white, 32, np.random.default_rng(seed), dataclasses.replace(STILL, exposure=0.0, contrast=0.0)
        )
        assert view.shape == (32, 32, 3) and view.dtype == np.uint8
        shades = np.unique(view // 8)
        if shades.tolist() == [0]:
            kinds.add("crop")
        elif view.std(axis=(0, 1)).max() < 3:  # one shade, be it tinted
            kinds.add("blend")
        else:
            share = float((view > 100).mean())
            assert 0.25 < share < 0.75
            kinds.add("join")
    assert kinds == {"crop", "blend", "join"}


def test_sources_count_by_the_root_of_their_size() -> None:
    chance = source_chances(["a"] * 100 + ["b"] * 25)
    assert np.isclose(chance[:100].sum(), 2 / 3) and np.isclose(chance.sum(), 1)
