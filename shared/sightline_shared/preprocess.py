"""The pixel specification: the one way from a picture to the model's uint8 input.

1. Decode JPEG, PNG or WebP, apply the EXIF orientation, convert to 8-bit RGB (transparency over white).
2. Keep the centred part whose sides are at most 4:3 apart, so that a tall phone frame is not squashed flat.
3. If f = short side // size is 2 or more, average whole blocks of f x f pixels by Pillow's `reduce` (blocks cut off by
   the edge average what there is): a camera frame costs half as much this way, and looks the same to the model.
4. Antialiased bilinear resize (Pillow's `BILINEAR`: triangle filter widened by the scale) to `size x size`: vertical pass,
   then horizontal, 8-bit rounding between them.

The result is `(size, size, 3) uint8`; normalisation lives inside the model's graph, so a port cannot get it
wrong. Both averages are integer arithmetic, written out in shared/README.md; golden tensors in the bundle let a port
compare bit for bit. The choice of resize matters as much as
int8 does: nearest neighbour in place of step 4 costs more than quantization.
"""

from __future__ import annotations

import io
import re
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from sightline_shared.errors import ImageTooLarge, ImageUnreadable, InputError

SPEC_ID = "rgb-crop43-bilinear-2"
MAX_PIXELS = 64_000_000
MAX_FILE_BYTES = 32 * 1024 * 1024
# A progressive JPEG has about ten scans. Each costs a pass over all pixels, and a hundred bytes: without a cap an upload of
# 16 MiB keeps a core busy for hours.
MAX_SCANS = 64
FORMATS = ("JPEG", "PNG", "WEBP")
MAX_ASPECT = 4 / 3
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
# A JPEG is decoded at a reduced scale (1/2, 1/4, 1/8) while both its sides stay at least this long: twice what the
# shipped student sees, so that step 3 still has whole blocks to average.
DRAFT_SIDE = 384

# Within a scan 0xff is followed by 0, or by a restart marker.
_MARKER = re.compile(rb"\xff+([\x01-\xcf\xd8-\xfe])")
# What Pillow's decoders raise on damaged files.
DAMAGE = (OSError, ValueError, SyntaxError, EOFError)

Frame = str | Path | bytes | Image.Image | NDArray[np.uint8]


def load_image(source: Frame, *, name: str | None = None) -> Image.Image:
    """Return `source` as an upright 8-bit RGB image.

    `source` is a path, the bytes of a JPEG, PNG or WebP file, a PIL image, or an `(h, w, 3) uint8` RGB array.
    Raises ImageUnreadable when it is none of these, ImageTooLarge past MAX_PIXELS, MAX_FILE_BYTES or MAX_SCANS; these
    are checked from the header, before any pixel is decoded.
    """
    label = name or (str(source) if isinstance(source, str | Path) else type(source).__name__)
    if isinstance(source, np.ndarray):
        return _from_array(source, label)
    if isinstance(source, Image.Image):
        _check_pixels(source.size, label)
        return _upright_rgb(source, label)
    data = source if isinstance(source, bytes) else _read_file(Path(source))
    if len(data) > MAX_FILE_BYTES:
        raise ImageTooLarge(f"{label}: expected at most {MAX_FILE_BYTES} bytes, got {len(data)}.")
    try:
        with warnings.catch_warnings():
            # Pillow warns of large pictures; our own cap below is the one that counts.
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                _check_pixels(image.size, label)
                if image.format == "JPEG" and (scans := _scans(data)) > MAX_SCANS:
                    raise ImageTooLarge(f"{label}: expected a JPEG of at most {MAX_SCANS} scans, got {scans}.")
                image.draft("RGB", (DRAFT_SIDE, DRAFT_SIDE))
                return _upright_rgb(image, label)
    except Image.DecompressionBombError as error:
        raise ImageTooLarge(f"{label}: expected at most {MAX_PIXELS} pixels, got far more.") from error
    except UnidentifiedImageError as error:
        raise ImageUnreadable(f"{label}: expected a JPEG, PNG or WebP picture, got something else.") from error
    except DAMAGE as error:
        raise ImageUnreadable(f"{label}: the picture is damaged or cut off ({error}).") from error


def to_tensor(image: Image.Image, size: int) -> NDArray[np.uint8]:
    """Return the model's input for an upright RGB `image`: `(size, size, 3) uint8`, by steps 2 to 4."""
    width, height = image.size
    crop_width = min(width, round(height * MAX_ASPECT))
    crop_height = min(height, round(width * MAX_ASPECT))
    left, top = (width - crop_width) // 2, (height - crop_height) // 2
    box = (left, top, left + crop_width, top + crop_height)
    block = min(crop_width, crop_height) // size
    if block > 1:
        image = image.reduce(block, box)  # crops on the way, without a copy
    elif box != (0, 0, width, height):
        image = image.crop(box)
    # One axis a call: which one Pillow would take first depends on its version and on the picture.
    for target in ((image.width, size), (size, size)):
        if image.size != target:
            image = image.resize(target, Image.Resampling.BILINEAR)
    return np.asarray(image, dtype=np.uint8)


def luma(tensor: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the luma `(h, w) float32` of `(h, w, 3) uint8` pixels, 0 to 255: (299 R + 587 G + 114 B) / 1000."""
    return np.asarray(tensor @ LUMA, np.float32)


def _read_file(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ImageTooLarge(f"{path}: expected at most {MAX_FILE_BYTES} bytes, got {path.stat().st_size}.")
        return path.read_bytes()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ImageUnreadable(f"{path}: expected a readable picture file, got '{reason}'.") from error


def _check_pixels(size: tuple[int, int], label: str) -> None:
    width, height = size
    if width * height > MAX_PIXELS:
        raise ImageTooLarge(f"{label}: expected at most {MAX_PIXELS} pixels, got {width} x {height}.")
    if width < 1 or height < 1:
        raise ImageUnreadable(f"{label}: expected a picture of at least 1 x 1 pixels, got {width} x {height}.")


def _scans(data: bytes) -> int:
    """Return how many scans a JPEG has: it is walked from marker to marker, as decoders do, up to its end."""
    scans, at = 0, 2
    while found := _MARKER.search(data, at):
        kind, at = found[1][0], found.end()
        if kind == 0xD9:  # the end; phones append films
            break
        if kind not in (0x01, 0xD8):  # all others say how long they are
            scans += kind == 0xDA
            at += int.from_bytes(data[at : at + 2], "big")
    return scans


def _upright_rgb(image: Image.Image, label: str) -> Image.Image:
    try:
        image.load()
        upright = ImageOps.exif_transpose(image)
        if upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info:
            layer = upright.convert("RGBA")
            white = Image.new("RGBA", layer.size, "white")
            return Image.alpha_composite(white, layer).convert("RGB")
        if upright.mode.startswith("I;16"):
            upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
        return upright.convert("RGB")
    except DAMAGE as error:
        raise ImageUnreadable(f"{label}: the picture is damaged or cut off ({error}).") from error


def _from_array(array: NDArray[np.uint8], label: str) -> Image.Image:
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8:
        raise InputError(
            f"{label}: expected an (h, w, 3) uint8 RGB array, got {array.shape} {array.dtype}.",
            hint="Convert BGR or float frames first.",
        )
    _check_pixels((array.shape[1], array.shape[0]), label)
    return Image.fromarray(np.ascontiguousarray(array))
