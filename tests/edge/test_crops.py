"""Salient regions: against the slow formula, on frames where it is plain what stands out, and on every shape of frame."""

import numpy as np
import pytest
from PIL import Image

from sightline_edge.crops import LARGER, MAX_OVERLAP, RING, choose, contrast, edge_density, propose, thumbnail
from sightline_edge.frame import Box, Picture, Tap
from sightline_shared.preprocess import MAX_ASPECT

RNG = np.random.default_rng(0)


def frame(size: tuple[int, int] = (640, 480), things: tuple[Box, ...] = ()) -> Picture:
    """A smooth frame with a patch of checks in every box of `things`."""
    across, down = np.meshgrid(np.linspace(60, 120, size[0]), np.linspace(0, 40, size[1]))
    pixels = np.repeat((across + down)[..., None], 3, axis=2).astype(np.uint8)
    for thing in things:
        rows, columns = np.indices((thing.height, thing.width)) // 16
        checks = np.where((rows + columns) % 2, 230, 30).astype(np.uint8)
        pixels[thing.top : thing.bottom, thing.left : thing.right] = checks[..., None]
    return Picture(Image.fromarray(pixels), size)


THINGS = (Box(40, 40, 240, 240), Box(400, 220, 600, 420))


def test_what_stands_out_is_proposed_first() -> None:
    found = propose(frame(things=THINGS), 2)
    for thing in THINGS:
        assert max(box.overlap(thing) for box in found) > 0.6


def test_proposals_hardly_overlap_and_keep_away_from_what_is_taken() -> None:
    picture = frame(things=(*THINGS, Box(420, 20, 560, 160), Box(60, 300, 200, 440)))
    found = propose(picture, 6)
    assert len(found) >= 4
    assert all(one.overlap(other) < MAX_OVERLAP for one in found for other in found if one is not other)
    assert all(box.overlap(found[0]) < MAX_OVERLAP for box in propose(picture, 6, [found[0]]))


def test_a_longer_list_begins_with_the_shorter_one() -> None:
    picture = frame(things=THINGS)
    assert propose(picture, 4)[:2] == propose(picture, 2) and propose(picture, 0) == () == propose(picture, -1)


def test_a_blank_frame_has_nothing_to_propose() -> None:
    assert propose(Picture(Image.new("RGB", (640, 480), "grey"), (640, 480)), 4) == ()


def test_the_whole_comes_first_then_what_was_asked_for_then_what_stands_out() -> None:
    picture = frame(things=THINGS)
    boxes = choose(picture, 3, [Tap(500, 320), Box(0, 0, 300, 300)])
    assert boxes[0] == picture.whole and boxes[1] == picture.region(Tap(500, 320)) and boxes[2] == Box(0, 0, 300, 300)
    assert len(boxes) == 5 and boxes[3:] == propose(picture, 2, boxes[1:3])
    assert choose(picture, 1) == (picture.whole,)


@pytest.mark.parametrize("size", [(640, 480), (480, 640), (4000, 500), (37, 900), (20, 20), (1, 1), (1, 300)])
def test_every_proposal_lies_in_the_frame_and_is_kept_whole_by_the_pixel_spec(size: tuple[int, int]) -> None:
    noise = Image.fromarray(RNG.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))
    for box in propose(Picture(noise, size), 5):
        assert 0 <= box.left < box.right <= size[0] and 0 <= box.top < box.bottom <= size[1]
        if max(size) <= 8 * min(size) and min(size) > 1:  # narrower ones are cut by the spec, as the whole frame is
            assert 1 / MAX_ASPECT * 0.97 <= box.width / box.height <= MAX_ASPECT * 1.03


def test_boxes_of_a_frame_decoded_small_are_in_the_frames_pixels() -> None:
    small = frame(things=THINGS)
    large = Picture(small.image, (2560, 1920))
    scaled = [Box(*(4 * edge for edge in (b.left, b.top, b.right, b.bottom))) for b in propose(small, 4)]
    assert all(one.overlap(other) > 0.95 for one, other in zip(propose(large, 4), scaled, strict=True))


def test_edge_density_is_the_mean_length_of_the_gradient_over_three_by_three() -> None:
    image = Image.fromarray(RNG.integers(0, 256, (48, 64, 3), dtype=np.uint8))
    small = thumbnail(image)
    assert small.shape == (48, 64, 3)
    slopes = [np.gradient(small[..., channel]) for channel in range(3)]
    strength = np.sqrt(sum(down**2 + across**2 for down, across in slopes))
    padded = np.pad(strength, 1, mode="edge")
    slow = [[padded[y : y + 3, x : x + 3].mean() for x in range(64)] for y in range(48)]
    np.testing.assert_allclose(edge_density(image), slow, rtol=1e-4)


def test_contrast_is_inside_less_ring_times_a_power_of_the_area() -> None:
    saliency = RNG.random((48, 64)).astype(np.float32)
    windows = np.array([[0, 0, 20, 16], [10, 8, 30, 40], [44, 30, 64, 48], [0, 0, 64, 48]])
    slow = []
    for left, top, right, bottom in windows.tolist():
        wide, high = round(RING * (right - left)), round(RING * (bottom - top))
        around = np.zeros(saliency.shape, bool)
        around[max(0, top - high) : bottom + high, max(0, left - wide) : right + wide] = True
        around[top:bottom, left:right] = False
        outside = saliency[around].mean() if around.any() else 0.0
        area = (right - left) * (bottom - top)
        slow.append((saliency[top:bottom, left:right].mean() - outside) * area**LARGER)
    np.testing.assert_allclose(contrast(saliency, windows), slow, rtol=1e-4)
