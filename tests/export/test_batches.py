"""What a batch is made of: shares, caps, partners, look-alikes; and that it depends on seed and step alone."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from sightline_export.batches import AugmentedBatches, Sampler, TrainingSet, capped_shares, look_alikes
from sightline_export.recipe import Batches, Strength, Training

# Source 0: items 0 (40 photographs, 2 of them studio) and 1 (10). Source 1: items 2 and 3 (10 each). Then 12 outside.
ITEMS = np.array([0] * 40 + [1] * 10 + [2] * 10 + [3] * 10 + [-1] * 12)
GROUPS = np.array([0] * 50 + [1] * 20 + [2] * 12)


@pytest.fixture
def data(draw: Callable[..., Image.Image]) -> TrainingSet:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(5, 16))
    targets = centres[ITEMS] + rng.normal(size=(len(ITEMS), 16)) * 0.1
    targets /= np.linalg.norm(targets, axis=1, keepdims=True)
    studio = np.zeros(len(ITEMS), dtype=bool)
    studio[:2] = True
    return TrainingSet(
        images=[draw(max(0, item), row) for row, item in enumerate(ITEMS.tolist())],
        targets=targets.astype(np.float32),
        items=ITEMS,
        categories=np.minimum(ITEMS, 1),
        groups=GROUPS,
        outside=ITEMS < 0,
        studio=studio,
        views=GROUPS == 3,
    )


def drawn(data: TrainingSet, batches: Batches, count: int = 200) -> NDArray[np.int64]:
    sampler = Sampler(data, Training(batch=32, outside_share=0.25), batches)
    return np.stack([sampler.draw(np.random.default_rng(seed)) for seed in range(count)])


def test_a_batch_has_its_share_from_outside_and_sources_by_the_root_of_their_size(data: TrainingSet) -> None:
    rows = drawn(data, Batches())
    assert rows.shape == (200, 32)
    assert (data.outside[rows].sum(axis=1) == 8).all()
    share = (GROUPS[rows] == 0).sum() / (GROUPS[rows] < 2).sum()
    assert abs(share - np.sqrt(50) / (np.sqrt(50) + np.sqrt(20))) < 0.03


def test_caps_hold_a_class_and_a_source_down(data: TrainingSet) -> None:
    counts = Counter(ITEMS[drawn(data, Batches(class_cap=10, domain_cap=0.5))].ravel().tolist())
    inside = sum(count for item, count in counts.items() if item >= 0)
    assert abs(counts[0] / inside - 0.25) < 0.03 and abs(counts[2] / inside - 0.25) < 0.03
    free = Counter(ITEMS[drawn(data, Batches())].ravel().tolist())
    assert free[0] > 2 * counts[0] * 0.8


def test_shares_above_the_cap_go_to_the_others() -> None:
    assert np.allclose(capped_shares(np.array([8.0, 1.0, 1.0]), 0.5), [0.5, 0.25, 0.25])
    assert np.allclose(capped_shares(np.array([6.0, 3.0, 1.0]), 0.4), [0.4, 0.4, 0.2])
    assert np.allclose(capped_shares(np.array([3.0, 1.0]), 0.2), [0.5, 0.5])
    assert np.allclose(capped_shares(np.array([3.0]), 1.0), [1.0])


def test_a_partner_is_of_the_same_item_and_from_the_other_side(data: TrainingSet) -> None:
    sampler = Sampler(data, Training(batch=32), Batches(pairs=1.0))
    for seed in range(50):
        rng = np.random.default_rng(seed)
        assert sampler.partner(5, rng) in (0, 1)  # a phone photograph brings a studio picture
        assert 2 <= sampler.partner(0, rng) < 40
        assert sampler.partner(41, rng) != 41 and ITEMS[sampler.partner(41, rng)] == 1  # no studio picture there
    rows = drawn(data, Batches(pairs=1.0))
    assert (data.studio[rows].sum() / len(rows)) > 3  # far more studio pictures than their 2 of 70


def test_a_look_alike_is_the_nearest_photograph_of_another_item(data: TrainingSet) -> None:
    found = look_alikes(data)
    assert set(found) == set(np.flatnonzero(ITEMS >= 0).tolist())
    for row in (0, 45, 60):
        others = np.flatnonzero((ITEMS >= 0) & (ITEMS[row] != ITEMS))
        slow = sorted(others, key=lambda other: -float(data.targets[row] @ data.targets[other]))[:5]
        assert set(found[row].tolist()) == set(slow)
    sampler = Sampler(data, Training(batch=32), Batches(hard_negatives=0.5))
    assert sampler.look_alike(45, np.random.default_rng(1)) in found[45]


def test_mixed_views_have_their_share_and_are_not_cropped(data: TrainingSet) -> None:
    views = np.arange(len(ITEMS)) >= 76
    mixed = dataclasses.replace(data, views=views, outside=data.outside & ~views)
    rows = drawn(mixed, Batches(mixed_views=0.25))
    assert rows.shape == (200, 32)
    assert (views[rows].sum(axis=1) == 8).all() and (mixed.outside[rows].sum(axis=1) == 6).all()
    sampler = Sampler(mixed, Training(batch=32), Batches(mixed_views=0.25))
    still = Strength(crop_area=(0.4, 0.5), flip=0.0, colour=0.0, blur=0.0, noise=0.0, jpeg=0.0, occlusion=1.0)
    made = AugmentedBatches(mixed, sampler, None, 32, still, 1, 4)
    one, other = (made._view(80, np.random.default_rng(seed)) for seed in (1, 2))
    assert np.abs(one.astype(int) - other).mean() < 25  # the whole picture both times
    one, other = (made._view(30, np.random.default_rng(seed)) for seed in (1, 2))
    assert np.abs(one.astype(int) - other).mean() > 25


def test_a_batch_depends_on_seed_and_step_alone(data: TrainingSet) -> None:
    settings = Training(batch=8)

    def batch(seed: int, step: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        sampler = Sampler(data, settings, Batches(pairs=0.3, hard_negatives=0.3))
        made = AugmentedBatches(data, sampler, None, 32, Strength(background=0.5), seed, 4)
        pixels, rows = made[step]
        return pixels.numpy(), rows.numpy()

    pixels, rows = batch(1, 2)
    assert pixels.shape == (8, 32, 32, 3) and pixels.dtype == np.uint8
    again, same = batch(1, 2)
    assert np.array_equal(pixels, again) and np.array_equal(rows, same)
    assert not np.array_equal(rows, batch(1, 3)[1]) and not np.array_equal(rows, batch(2, 2)[1])
