"""A frame made ready to look at: upright pixels, and boxes and taps in the coordinates of the frame as it was given.

A frame is a path, the bytes of a JPEG, PNG or WebP file, a PIL image, or an `(h, w, 3) uint8` RGB array; files and PIL
images may carry an EXIF orientation, which is applied. Arrays say nothing about their channels, so four of them (RGBA or
BGRA?) and one (grey, or the luma of a colour picture?) are refused: `Image.fromarray(array)` states what they are.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

from PIL import ExifTags, Image

from sightline_shared.errors import ImageUnreadable, InputError
from sightline_shared.preprocess import DAMAGE, FORMATS, MAX_ASPECT, Frame, load_image

# EXIF orientations that swap width and height.
TURNED = (5, 6, 7, 8)
# A tap asks about a square of this share of the frame's short side.
TAP_SHARE = 0.35
# No crop is smaller than this share of the short side: less would be enlarged blur.
LEAST_SHARE = 0.2


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels of the upright frame as it was given; `right` and `bottom` lie outside it."""

    left: int
    top: int
    right: int
    bottom: int

    def __post_init__(self) -> None:
        if not (self.left < self.right and self.top < self.bottom):
            raise InputError(f"box: expected left < right and top < bottom, got {self}.")

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def height(self) -> int:
        return self.bottom - self.top

    def overlap(self, other: Box) -> float:
        """Return the boxes' intersection over their union, 0 to 1."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        shared = max(0, width) * max(0, height)
        return shared / (self.width * self.height + other.width * other.height - shared)


@dataclass(frozen=True)
class Tap:
    """A point that the user touched, in pixels of the upright frame as it was given."""

    x: int
    y: int


@dataclass(frozen=True, eq=False)
class Picture:
    """An upright RGB `image`, and the `(width, height)` of the frame that it came from.

    The two differ where a large JPEG was decoded at 1/2, 1/4 or 1/8: boxes are in the frame's pixels all the same.
    """

    image: Image.Image
    size: tuple[int, int]

    @property
    def whole(self) -> Box:
        return Box(0, 0, *self.size)

    def crop(self, box: Box) -> Image.Image:
        """Return what `box`, which lies within the frame, shows; every pixel that it touches."""
        across, down = self.image.width / self.size[0], self.image.height / self.size[1]
        left, top = int(box.left * across), int(box.top * down)
        right, bottom = -int(-box.right * across // 1), -int(-box.bottom * down // 1)
        return self.image.crop((left, top, min(right, self.image.width), min(bottom, self.image.height)))

    def region(self, asked: Box | Tap) -> Box:
        """Return what to look at for a box or tap: within the frame, no narrower than the pixel spec keeps whole.

        Raises InputError for what lies outside the frame.
        """
        width, height = self.size
        if isinstance(asked, Tap):
            if not (0 <= asked.x < width and 0 <= asked.y < height):
                raise InputError(f"region: expected a tap within {width} x {height}, got {asked}.")
            half = max(1, round(min(width, height) * TAP_SHARE / 2))
            return fitted(Box(asked.x - half, asked.y - half, asked.x + half, asked.y + half), self.size)
        if asked.right <= 0 or asked.bottom <= 0 or asked.left >= width or asked.top >= height:
            raise InputError(f"region: expected a box that meets the frame of {width} x {height}, got {asked}.")
        within = Box(max(0, asked.left), max(0, asked.top), min(width, asked.right), min(height, asked.bottom))
        return fitted(within, self.size)


def fitted(box: Box, size: tuple[int, int]) -> Box:
    """Return `box` grown about its centre to at least 3:4 and LEAST_SHARE, then moved into the frame of `size`.

    The pixel spec would cut off the ends of a narrower one.
    """
    least = LEAST_SHARE * min(size)
    width = min(size[0], round(max(box.width, box.height / MAX_ASPECT, least)))
    height = min(size[1], round(max(box.height, box.width / MAX_ASPECT, least)))
    left = min(max(0, (box.left + box.right - width) // 2), size[0] - width)
    top = min(max(0, (box.top + box.bottom - height) // 2), size[1] - height)
    return Box(left, top, left + max(1, width), top + max(1, height))


def open_picture(frame: Frame) -> Picture:
    """Return `frame` decoded and upright; raises ImageUnreadable, ImageTooLarge or InputError (see `load_image`)."""
    image = load_image(frame)
    return Picture(image, _frame_size(frame) or image.size)


def _frame_size(frame: Frame) -> tuple[int, int] | None:
    """Return the upright size in a JPEG file's header; None for what is never decoded at a smaller scale."""
    if not isinstance(frame, str | Path | bytes):
        return None
    try:
        with Image.open(io.BytesIO(frame) if isinstance(frame, bytes) else frame, formats=FORMATS) as header:
            if header.format not in ("JPEG", "MPO"):
                return None
            turned = header.getexif().get(ExifTags.Base.Orientation) in TURNED
            return (header.height, header.width) if turned else header.size
    except DAMAGE as error:  # the file changed since it was decoded
        raise ImageUnreadable(f"frame: expected a readable picture file, got '{error}'.") from error
