"""The sensitive head learns from some photographs and is judged on others; one person's stay on one side."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sightline_export import recipe
from sightline_export import sensitive_head as heads
from sightline_export.data import Photo, PhotoSet
from sightline_shared.errors import TrainingDataTooSmall

DIM = 16
RNG = np.random.default_rng(0)
CENTRES = RNG.standard_normal((5, DIM))


def photo(kind: str, role: str, coarse: str, number: int, instance: str = "") -> Photo:
    path = Path(f"{kind}-{role}-{coarse}-{number}.png")
    return Photo(path, kind, kind, role, coarse, coarse, instance, labelled=kind == "catalogue")


def made() -> tuple[PhotoSet, np.ndarray]:
    """Two categories for sale, and two sensitive kinds: scans of ten people with three pictures each, and smears."""
    photos, centres = [], []
    for role, count in (("train", 60), ("val", 40), ("test", 40)):
        for number in range(count):
            photos.append(photo("catalogue", role, ("bread", "milk")[number % 2], number))
            centres.append(CENTRES[number % 2])
    for number in range(30):
        photos.append(photo("sensitive", "sensitive", "scan", number, f"person-{number // 3}"))
        centres.append(CENTRES[2])
    for number in range(30):
        photos.append(photo("sensitive", "sensitive", "smear", number))
        centres.append(CENTRES[3])
    vectors = np.stack(centres) + 0.3 * RNG.standard_normal((len(centres), DIM))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    tensors = np.zeros((len(photos), 1, 1, 3), np.uint8)
    images = [Image.new("RGB", (1, 1))] * len(photos)
    return PhotoSet(photos, images, tensors, [str(i) for i in range(len(photos))]), vectors.astype(np.float32)


def no_views(rows: np.ndarray) -> dict[int, np.ndarray]:
    return {int(row): np.empty((0, DIM), np.float32) for row in rows}


def test_the_sensitive_head_flags_every_kind_and_spares_the_shop() -> None:
    photos, vectors = made()
    rows = photos.where(kind="sensitive")
    head, found = heads.fit_sensitive(
        photos, vectors, no_views(rows), no_views(photos.where(role="train")), recipe.Heads()
    )
    assert head.kinds == ("scan", "smear")
    assert (head.scores(vectors[rows]) >= head.unsure_above).mean() > 0.95
    held = photos.where(role="test")
    assert set(heads.asked_rows(photos)) == {"catalogue"}
    assert (head.scores(vectors[held]) >= head.unsure_above).mean() <= 0.1
    assert found["sensitive.auroc.all.catalogue"].value > 0.99
    assert found["sensitive.auroc.scan.catalogue"].n == 30 + len(held)
    assert found["sensitive.missed.smear"].interval is not None and found["sensitive.missed.smear"].interval[1] > 0
    assert found["sensitive.recall_at_1_percent.all.catalogue"].value > 0.9
    assert {"sensitive.auroc_kind_never_seen.scan.catalogue", "sensitive.false_alarm.catalogue"} <= set(found)


def lesson(photos: PhotoSet, vectors: np.ndarray) -> heads.Lesson:
    rows = photos.where(kind="sensitive")
    return heads.lesson_of(photos, vectors, no_views(rows), no_views(photos.where(role="train")))


def test_kinds_left_out_of_training_choose_the_shrinkage() -> None:
    photos, vectors = made()
    vectors = vectors + 0.5 * np.random.default_rng(1).standard_normal(vectors.shape, np.float32)
    learnt, held = lesson(photos, vectors), {"catalogue": vectors[photos.where(role="val")]}
    trials = [heads.try_shrinkage(learnt, shrinkage) for shrinkage in (0.001, 0.1, 1.0)]
    best, found = heads.choose(trials, learnt, held)
    assert found["sensitive.shrinkage"].value == best.shrinkage
    known = {trial.shrinkage: found[f"sensitive.choice.known.{trial.shrinkage:g}"].value for trial in trials}
    unseen = {trial.shrinkage: found[f"sensitive.choice.never_seen.{trial.shrinkage:g}"].value for trial in trials}
    allowed = [shrinkage for shrinkage, value in known.items() if value >= max(known.values()) - heads.KNOWN_SLACK]
    assert len(set(unseen.values())) == 3 and unseen[best.shrinkage] == max(unseen[one] for one in allowed)


def test_a_shrinkage_that_forgets_known_kinds_is_not_chosen() -> None:
    photos, vectors = made()
    learnt, held = lesson(photos, vectors), {"catalogue": vectors[photos.where(role="val")]}
    good = heads.try_shrinkage(learnt, 0.1)
    forgetful = heads.Trial(0.9, good.shipped, good.blind - 100, good.without)
    assert heads.choose([forgetful, good], learnt, held)[0] is good


def test_photographs_of_one_subject_alone_are_refused() -> None:
    photos, vectors = made()
    rows = [row for row, one in enumerate(photos.photos) if one.kind != "sensitive" or one.instance == "person-3"]
    kept = PhotoSet([photos.photos[row] for row in rows], [], photos.tensors, [])
    own, views = no_views(kept.where(kind="sensitive")), no_views(kept.where(role="train"))
    with pytest.raises(TrainingDataTooSmall, match="1 group of subjects"):
        heads.fit_sensitive(kept, vectors[rows], own, views, recipe.Heads())


def test_one_kind_alone_is_judged_by_itself() -> None:
    photos, vectors = made()
    rows = [row for row, one in enumerate(photos.photos) if one.coarse != "smear"]
    kept = PhotoSet([photos.photos[row] for row in rows], [], photos.tensors, [])
    own, views = no_views(kept.where(kind="sensitive")), no_views(kept.where(role="train"))
    head, found = heads.fit_sensitive(kept, vectors[rows], own, views, recipe.Heads())
    assert head.kinds == ("scan",) and not any("kind_never_seen" in name for name in found)


def test_one_persons_photographs_stay_together() -> None:
    photos, _ = made()
    rows = photos.where(kind="sensitive")
    people: dict[str, set[int]] = {}
    for row in rows:
        if photos.photos[row].instance:
            people.setdefault(photos.photos[row].instance, set()).add(heads.fold_of(photos, row))
    assert len(people) == 10 and all(len(folds) == 1 for folds in people.values())
    assert len({heads.fold_of(photos, row) for row in rows}) == heads.FOLDS


def test_the_threshold_keeps_the_bound_and_takes_caution_that_costs_nothing() -> None:
    settings = recipe.Heads(sensitive_miss=0.05, sensitive_alarm=0.1)
    blind = np.linspace(0, 1, 200).astype(np.float32)
    low, high = heads.thresholds(blind, np.full(100, -5.0, np.float32), settings)
    assert low == pytest.approx(-5.0) and high >= low  # nothing good lies higher: be careful
    crowded = np.linspace(-1, 2, 300).astype(np.float32)
    low, _ = heads.thresholds(blind, crowded, settings)
    assert (blind < low).mean() <= 0.05
    few = heads.thresholds(blind[:5] + 3, crowded, settings)
    assert few[0] <= float(blind[:5].min()) + 3
