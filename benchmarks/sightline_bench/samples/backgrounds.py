"""Places where phone photographs are taken: tables, cloths, tiles, shelves and clutter."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from .canvas import RGB, field, mix
from .palette import COLOURS
from .patterns import PATTERNS, pattern_tile

Backdrop = Callable[[np.random.Generator, int, int], Image.Image]

_WOODS: tuple[RGB, ...] = (
    (168, 118, 72),
    (122, 82, 52),
    (208, 170, 124),
    (94, 66, 50),
    (190, 180, 168),
)
_STONES: tuple[RGB, ...] = (
    (214, 210, 202),
    (150, 152, 156),
    (78, 82, 90),
    (236, 230, 220),
    (176, 150, 128),
)


def _one(rng: np.random.Generator, options: tuple[RGB, ...]) -> RGB:
    return options[int(rng.integers(len(options)))]


def _any(rng: np.random.Generator) -> RGB:
    return _one(rng, tuple(COLOURS.values()))


def _mottled(rng: np.random.Generator, ground: Image.Image, cells: tuple[int, int], strength: float) -> Image.Image:
    """Multiply ground by smooth noise of the given strength in 0..1."""
    noise = field(rng, cells, ground.size).point([int(255 - strength * (255 - v)) for v in range(256)])
    return ImageChops.multiply(ground, Image.merge("RGB", (noise, noise, noise)))


def _turned_crop(rng: np.random.Generator, big: Image.Image, w: int, h: int) -> Image.Image:
    turned = big.rotate(float(rng.uniform(-40, 40)), Image.Resampling.BILINEAR)
    left, top = (turned.width - w) // 2, (turned.height - h) // 2
    return turned.crop((left, top, left + w, top + h))


def _wood(rng: np.random.Generator, w: int, h: int) -> Image.Image:
    side = int(1.5 * max(w, h))
    tone = _one(rng, _WOODS)
    boards = Image.new("RGB", (side, side), tone)
    pen, step = ImageDraw.Draw(boards), int(rng.integers(side // 9, side // 4))
    for y in range(0, side, step):
        pen.rectangle((0, y, side, y + step), fill=mix(tone, (0, 0, 0), float(rng.uniform(0, 0.22))))
    boards = _mottled(rng, boards, (5, side // 2), 0.32)
    boards = _mottled(rng, boards, (14, side // 8), 0.22)
    pen = ImageDraw.Draw(boards)
    for y in range(0, side, step):
        pen.line((0, y, side, y), fill=mix(tone, (0, 0, 0), 0.6), width=2)
    return _turned_crop(rng, boards, w, h)


def _cloth(rng: np.random.Generator, w: int, h: int) -> Image.Image:
    side, names = int(1.5 * max(w, h)), tuple(PATTERNS)
    ground = mix(_any(rng), (240, 240, 240), float(rng.uniform(0.1, 0.7)))
    other = mix(_any(rng), ground, 0.4)
    step = int(rng.integers(side // 26, side // 10))
    name = names[int(rng.integers(len(names)))]
    cloth = pattern_tile(name, (side, side), step, ground, other, mix(other, (255, 255, 255), 0.4))
    return _turned_crop(rng, _mottled(rng, cloth, (7, 5), 0.35), w, h)


def _tiles(rng: np.random.Generator, w: int, h: int) -> Image.Image:
    side, tone = int(1.5 * max(w, h)), _one(rng, _STONES)
    floor = Image.new("RGB", (side, side), mix(tone, (0, 0, 0), 0.35))
    pen, step = ImageDraw.Draw(floor), int(rng.integers(side // 10, side // 4))
    for y in range(0, side, step):
        for x in range(0, side, step):
            shade = mix(tone, (0, 0, 0), float(rng.uniform(0, 0.14)))
            pen.rectangle((x + 1, y + 1, x + step - 3, y + step - 3), fill=shade)
    return _turned_crop(rng, _mottled(rng, floor, (24, 24), 0.2), w, h)


def _speckled(rng: np.random.Generator, w: int, h: int) -> Image.Image:
    tone = _one(rng, _STONES)
    top = _mottled(rng, Image.new("RGB", (w, h), tone), (w // 2, h // 2), 0.3)
    return _mottled(rng, top, (6, 8), 0.25)


def _product(
    pen: ImageDraw.ImageDraw,
    rng: np.random.Generator,
    x: float,
    base: float,
    wide: float,
    tall: float,
) -> None:
    tone, paper = _any(rng), _any(rng)
    kind = int(rng.integers(3))
    if kind == 0:
        pen.rectangle((x, base - tall, x + wide, base), fill=tone)
    else:
        pen.rounded_rectangle((x, base - tall * 0.8, x + wide, base), wide * 0.2, fill=tone)
        pen.rectangle(
            (x + wide * 0.33, base - tall, x + wide * 0.67, base - tall * 0.75),
            fill=mix(tone, (0, 0, 0), 0.3),
        )
    pen.rectangle((x + wide * 0.1, base - tall * 0.55, x + wide * 0.9, base - tall * 0.2), fill=paper)
    pen.rectangle(
        (x + wide * 0.2, base - tall * 0.45, x + wide * 0.8, base - tall * 0.36),
        fill=mix(paper, (0, 0, 0), 0.7),
    )
    pen.rectangle((x, base - tall * 0.8, x + wide * 0.14, base), fill=mix(tone, (0, 0, 0), 0.35))
    pen.rectangle(
        (x + wide * 0.24, base - tall * 0.8, x + wide * 0.34, base - tall * 0.56),
        fill=mix(tone, (255, 255, 255), 0.5),
    )


def _shelf(rng: np.random.Generator, w: int, h: int) -> Image.Image:
    wall = Image.new("RGB", (w, h), mix(_one(rng, _STONES), (30, 26, 24), float(rng.uniform(0.2, 0.7))))
    pen, board = ImageDraw.Draw(wall), _one(rng, _WOODS + _STONES)
    rows = int(rng.integers(2, 4))
    for k in range(rows):
        base = h * (k + float(rng.uniform(0.8, 0.98))) / rows
        x = -float(rng.uniform(0, 30))
        while x < w:
            wide = float(rng.uniform(0.09, 0.2)) * w
            _product(pen, rng, x, base, wide, h / rows * float(rng.uniform(0.5, 0.85)))
            x += wide + float(rng.uniform(1, 10))
        pen.rectangle((0, base, w, base + h * 0.035), fill=board)
        pen.rectangle((0, base + h * 0.035, w, base + h * 0.05), fill=mix(board, (0, 0, 0), 0.5))
    return wall.filter(ImageFilter.GaussianBlur(float(rng.uniform(1.2, 3.2))))


def _room(rng: np.random.Generator, w: int, h: int) -> Image.Image:
    wall = mix(_any(rng), (225, 222, 214), float(rng.uniform(0.3, 0.8)))
    room = Image.new("RGB", (w, h), wall)
    pen = ImageDraw.Draw(room)
    if rng.random() < 0.6:
        x, wide = float(rng.uniform(0, 0.7)) * w, float(rng.uniform(0.15, 0.4)) * w
        pen.rectangle((x, 0, x + wide, h * float(rng.uniform(0.2, 0.4))), fill=mix(_any(rng), wall, 0.35))
        pen.rectangle((x + wide * 0.1, 0, x + wide * 0.9, h * 0.18), fill=mix(_any(rng), wall, 0.2))
    for _ in range(int(rng.integers(0, 3))):
        x, y, r = (
            float(rng.uniform(0, w)),
            float(rng.uniform(0.1, 0.5)) * h,
            float(rng.uniform(8, 40)),
        )
        pen.ellipse((x - r, y - r, x + r, y + r), fill=mix(_any(rng), wall, 0.3))
    horizon = int(h * rng.uniform(0.45, 0.66))
    table = _wood(rng, w, h - horizon) if rng.random() < 0.6 else _speckled(rng, w, h - horizon)
    room = room.filter(ImageFilter.GaussianBlur(4))
    room.paste(table, (0, horizon))
    return room.filter(ImageFilter.GaussianBlur(0.8))


def _clutter(rng: np.random.Generator, w: int, h: int) -> Image.Image:
    heap = Image.new("RGB", (w, h), mix(_any(rng), (128, 128, 128), 0.5))
    pen = ImageDraw.Draw(heap)
    for _ in range(int(rng.integers(9, 20))):
        x, y = float(rng.uniform(0, w)), float(rng.uniform(0, h))
        a, b = float(rng.uniform(0.06, 0.3)) * w, float(rng.uniform(0.06, 0.3)) * w
        tone = mix(_any(rng), (110, 108, 104), float(rng.uniform(0.1, 0.6)))
        if rng.random() < 0.4:
            pen.ellipse((x - a, y - b, x + a, y + b), fill=tone)
        else:
            pen.polygon(
                [
                    (x - a, y - b * 0.4),
                    (x + a * 0.5, y - b),
                    (x + a, y + b * 0.4),
                    (x - a * 0.5, y + b),
                ],
                fill=tone,
            )
    return _mottled(rng, heap.filter(ImageFilter.GaussianBlur(float(rng.uniform(1.5, 6)))), (6, 8), 0.3)


def _desk(rng: np.random.Generator, w: int, h: int) -> Image.Image:
    side = int(1.5 * max(w, h))
    desk = _mottled(rng, Image.new("RGB", (side, side), _one(rng, _WOODS + _STONES)), (4, side // 4), 0.18)
    pen = ImageDraw.Draw(desk)
    for _ in range(int(rng.integers(2, 5))):
        x, y = rng.uniform(0.05, 0.75, 2) * side
        a, b = rng.uniform(0.12, 0.3, 2) * side
        paper = mix(_any(rng), (246, 246, 242), float(rng.uniform(0.3, 1.0)))
        pen.rectangle((x + 4, y + 5, x + a + 4, y + b + 5), fill=(60, 56, 54))
        pen.rectangle((x, y, x + a, y + b), fill=paper)
        for line in np.arange(y + 8, y + b - 6, 8.0):
            end = x + a * float(rng.uniform(0.5, 0.9))
            pen.line((x + 7, line, end, line), fill=mix(paper, (40, 40, 50), 0.45), width=2)
    return _turned_crop(rng, desk, w, h).filter(ImageFilter.GaussianBlur(0.7))


BACKDROPS: dict[str, Backdrop] = {
    "wood": _wood,
    "shelf": _shelf,
    "cloth": _cloth,
    "room": _room,
    "tiles": _tiles,
    "clutter": _clutter,
    "desk": _desk,
    "stone": _speckled,
}


def backdrop(rng: np.random.Generator, size_px: tuple[int, int]) -> Image.Image:
    """Return a random place as an RGB image of size_px, drawn at half size and enlarged."""
    w, h = max(16, size_px[0] // 2), max(16, size_px[1] // 2)
    names = tuple(BACKDROPS)
    place = BACKDROPS[names[int(rng.integers(len(names)))]](rng, w, h)
    return place.resize(size_px, Image.Resampling.BICUBIC)
