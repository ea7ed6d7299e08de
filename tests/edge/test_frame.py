"""Frames: boxes and taps are in the pixels of the upright frame as it was given, however it was stored and decoded."""

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from sightline_edge.frame import Box, Picture, Tap, fitted, open_picture
from sightline_shared.errors import ImageUnreadable, InputError

CORNERS = {"left top": (200, 0, 0), "right top": (0, 200, 0), "left bottom": (0, 0, 200), "right bottom": (200, 200, 0)}


def four_colours(width: int, height: int) -> Image.Image:
    """A frame with a colour in each quarter, so that every turn and mirroring shows."""
    image = Image.new("RGB", (width, height))
    for name, colour in CORNERS.items():
        left, top = (width // 2 if "right" in name else 0), (height // 2 if "bottom" in name else 0)
        image.paste(colour, (left, top, left + width // 2, top + height // 2))
    return image


def stored(upright: Image.Image, orientation: int, kind: str) -> bytes:
    """`upright` as a camera stores it: pixels turned or mirrored, and the orientation that says how to undo that."""
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    exif, buffer = Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    pixels = upright.transpose(undo[orientation]) if orientation > 1 else upright
    pixels.save(buffer, kind, exif=exif, quality=95)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("size", [(300, 200), (1600, 1000)])
def test_a_box_shows_the_same_part_under_every_orientation_and_scale(
    kind: str, orientation: int, size: tuple[int, int]
) -> None:
    data = stored(four_colours(*size), orientation, kind)
    picture = open_picture(data)
    assert picture.size == size
    assert (picture.image.size != size) == (kind == "JPEG" and size == (1600, 1000))
    for name, colour in CORNERS.items():
        left, top = (size[0] // 2 if "right" in name else 0), (size[1] // 2 if "bottom" in name else 0)
        inside = Box(left + 20, top + 20, left + size[0] // 2 - 20, top + size[1] // 2 - 20)
        pixels = np.asarray(picture.crop(inside)).astype(int)
        assert np.abs(pixels - colour).max() <= 12


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_pil_image_with_an_orientation_is_made_upright_too(orientation: int) -> None:
    upright = four_colours(300, 200)
    given = Image.open(io.BytesIO(stored(upright, orientation, "PNG")))
    picture = open_picture(given)
    assert picture.size == (300, 200)
    np.testing.assert_array_equal(np.asarray(picture.image), np.asarray(ImageOps.exif_transpose(upright)))


@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 1), (20, 30, 4), (3, 20, 30)])
def test_arrays_that_do_not_say_what_their_channels_are_get_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"\(h, w, 3\) uint8 RGB"):
        open_picture(np.zeros(shape, np.uint8))


def test_grey_and_transparent_pictures_come_in_through_pil() -> None:
    grey = open_picture(Image.fromarray(np.full((20, 30), 77, np.uint8)))
    assert np.asarray(grey.image)[0, 0].tolist() == [77, 77, 77]
    clear = open_picture(Image.fromarray(np.zeros((20, 30, 4), np.uint8)))
    assert np.asarray(clear.image)[0, 0].tolist() == [255, 255, 255]


def test_a_file_that_vanishes_or_is_none_is_named(tmp_path) -> None:
    for frame in (tmp_path / "none.jpg", b"no picture"):
        with pytest.raises(ImageUnreadable):
            open_picture(frame)


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        (Box(100, 100, 200, 200), Box(100, 100, 200, 200)),
        (Box(100, 50, 140, 250), Box(45, 50, 195, 250)),  # a bottle: widened to 3:4
        (Box(100, 100, 300, 120), Box(100, 35, 300, 185)),
        (Box(0, 0, 10, 300), Box(0, 0, 225, 300)),  # at the edge: moved into the frame
        (Box(300, 200, 310, 210), Box(265, 165, 345, 245)),  # a speck: a fifth of the short side
        (Box(-50, -50, 700, 500), Box(0, 0, 640, 400)),
    ],
)
def test_a_region_is_grown_to_what_the_pixel_spec_keeps_whole(box: Box, expected: Box) -> None:
    assert Picture(Image.new("RGB", (640, 400)), (640, 400)).region(box) == expected


@pytest.mark.parametrize("size", [(640, 480), (480, 640), (1, 1), (3, 900), (900, 3), (2, 2)])
def test_what_is_fitted_lies_in_the_frame_whatever_its_shape(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(sum(size))
    for _ in range(300):
        (left, right), (top, bottom) = (np.sort(rng.integers(0, side + 1, 2)) for side in size)
        if left == right or top == bottom:
            continue
        box = fitted(Box(int(left), int(top), int(right), int(bottom)), size)
        assert 0 <= box.left < box.right <= size[0] and 0 <= box.top < box.bottom <= size[1]
        assert Picture(Image.new("RGB", size), size).crop(box).size == (box.width, box.height)


@pytest.mark.parametrize("tap", [Tap(0, 0), Tap(639, 399), Tap(320, 200)])
def test_a_tap_asks_about_a_square_around_it_within_the_frame(tap: Tap) -> None:
    box = Picture(Image.new("RGB", (640, 400)), (640, 400)).region(tap)
    assert (box.width, box.height) == (140, 140)
    assert box.left <= tap.x < box.right and box.top <= tap.y < box.bottom
    assert box.left >= 0 and box.right <= 640 and box.top >= 0 and box.bottom <= 400


@pytest.mark.parametrize("region", [Tap(-1, 5), Tap(640, 5), Tap(5, 400), Box(640, 0, 700, 50), Box(-9, -9, 0, 0)])
def test_a_region_outside_the_frame_is_refused(region: Box | Tap) -> None:
    with pytest.raises(InputError, match="region"):
        Picture(Image.new("RGB", (640, 400)), (640, 400)).region(region)


@pytest.mark.parametrize("edges", [(5, 0, 5, 9), (9, 0, 5, 9), (0, 9, 5, 9)])
def test_an_empty_or_inverted_box_is_refused(edges: tuple[int, int, int, int]) -> None:
    with pytest.raises(InputError, match="left < right"):
        Box(*edges)


def test_overlap_is_intersection_over_union() -> None:
    assert Box(0, 0, 10, 10).overlap(Box(0, 0, 10, 10)) == 1
    assert Box(0, 0, 10, 10).overlap(Box(5, 0, 15, 10)) == pytest.approx(1 / 3)
    assert Box(0, 0, 10, 10).overlap(Box(10, 0, 20, 10)) == 0
