"""The photographs of a comparison, made ready before the clock runs: which the device asks about, JPEG files of a size, regions."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from sightline_edge import Device
from sightline_edge.frame import open_picture
from sightline_edge.pipeline import observe
from sightline_shared.budget import Budget
from sightline_shared.errors import InputError

QUALITY = 85
# Of the wanted bytes a file may differ by so much.
NEAR = 0.03
LEAST_SIDE, MOST_SIDE, TRIES = 64, 4096, 12
# Two regions that nearly cover the frame: the gate, which knows whole items, lets them through.
REGION_SHARE = 0.85
FOREVER_MS = 60_000

Region = tuple[int, int, int, int]


@dataclass(frozen=True)
class Shot:
    """One photograph: its path, the same as JPEG files by their size in bytes, and two regions of it in pixels."""

    photo: str
    jpegs: dict[int, str]
    regions: tuple[Region, ...]


def shots_of(photos: Sequence[str], n: int, sizes: Sequence[int], device: Device, folder: Path) -> list[Shot]:
    """Return the first `n` of `photos` that the device asks the service about, with their files in the new `folder`.

    Raises InputError when there are none.
    """
    folder.mkdir(parents=True)
    found: list[Shot] = []
    for photo in photos:
        if len(found) == n:
            break
        if not observe(photo, device, Budget(FOREVER_MS)).sent:
            continue
        picture = open_picture(photo)
        jpegs = {size: folder / f"{len(found)}-{size}.jpg" for size in sizes}
        for size, path in jpegs.items():
            path.write_bytes(jpeg_of(picture.image, size))
        width, height = picture.size
        right, bottom = round(REGION_SHARE * width), round(REGION_SHARE * height)
        regions = ((0, 0, right, bottom), (width - right, height - bottom, width, height))
        found.append(Shot(photo, {size: str(path) for size, path in jpegs.items()}, regions))
    if not found:
        raise InputError("product: expected photographs that the device asks the service about, got none.")
    return found


def jpeg_of(image: Image.Image, size_bytes: int) -> bytes:
    """Return `image`, made smaller or larger, as a JPEG of quality 85 of about so many bytes: within NEAR where that can be had."""
    low, high = LEAST_SIDE, MOST_SIDE
    best = b""
    for _ in range(TRIES):
        side = (low + high) // 2
        data = _jpeg(image, side)
        if not best or abs(len(data) - size_bytes) < abs(len(best) - size_bytes):
            best = data
        if abs(len(data) - size_bytes) <= NEAR * size_bytes:
            break
        low, high = (side, high) if len(data) < size_bytes else (low, side)
    return best


def _jpeg(image: Image.Image, side: int) -> bytes:
    scale = side / max(image.size)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    file = io.BytesIO()
    image.resize(size, Image.Resampling.BICUBIC).save(file, "JPEG", quality=QUALITY)
    return file.getvalue()
