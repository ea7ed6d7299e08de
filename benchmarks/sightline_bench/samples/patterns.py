"""Repeating patterns that cover labels, fabrics and faces."""

from __future__ import annotations

from collections.abc import Callable
from math import pi, sin

import numpy as np
from PIL import Image, ImageDraw

from .canvas import RGB, mix

Pen = ImageDraw.ImageDraw
Box = tuple[int, int, int, int]
Pattern = Callable[[Pen, int, int, int, RGB, RGB], None]


def _plain(pen: Pen, w: int, h: int, step: int, a: RGB, b: RGB) -> None:
    return None


def _striped(pen: Pen, w: int, h: int, step: int, a: RGB, b: RGB) -> None:
    for y in range(0, h, step):
        pen.rectangle((0, y, w, y + step * 0.45), fill=a)


def _pinstriped(pen: Pen, w: int, h: int, step: int, a: RGB, b: RGB) -> None:
    for x in range(step // 2, w, step):
        pen.rectangle((x, 0, x + step * 0.35, h), fill=a)


def _diagonal(pen: Pen, w: int, h: int, step: int, a: RGB, b: RGB) -> None:
    for k, x in enumerate(range(-h, w, step)):
        colour = a if k % 2 else b
        pen.line((x, h, x + h, 0), fill=colour, width=max(2, int(step * 0.42)))


def _dotted(pen: Pen, w: int, h: int, step: int, a: RGB, b: RGB) -> None:
    r = step * 0.28
    for j, y in enumerate(range(step // 2, h + step, step)):
        for x in range((step // 2) * (j % 2), w + step, step):
            pen.ellipse((x - r, y - r, x + r, y + r), fill=a)


def _checked(pen: Pen, w: int, h: int, step: int, a: RGB, b: RGB) -> None:
    for j, y in enumerate(range(0, h, step)):
        for x in range(step * (j % 2), w, 2 * step):
            pen.rectangle((x, y, x + step - 1, y + step - 1), fill=a)


def _tartan(pen: Pen, w: int, h: int, step: int, a: RGB, b: RGB) -> None:
    for x in range(0, w, 2 * step):
        pen.rectangle((x, 0, x + step * 0.7, h), fill=mix(a, b, 0.5))
    for y in range(0, h, 2 * step):
        pen.rectangle((0, y, w, y + step * 0.7), fill=a)
        pen.line((0, y + step * 1.3, w, y + step * 1.3), fill=b, width=max(2, step // 8))
    for x in range(0, w, 2 * step):
        pen.line((x + step * 1.3, 0, x + step * 1.3, h), fill=b, width=max(2, step // 8))


def _wavy(pen: Pen, w: int, h: int, step: int, a: RGB, b: RGB) -> None:
    xs = range(0, w + 8, 6)
    for k, y in enumerate(range(0, h + step, step)):
        line = [(x, y + step * 0.3 * sin(2 * pi * x / (step * 2.4) + k)) for x in xs]
        pen.line(line, fill=a if k % 2 else b, width=max(3, int(step * 0.3)))


def _chevron(pen: Pen, w: int, h: int, step: int, a: RGB, b: RGB) -> None:
    xs = range(0, w + step, step)
    for n, y in enumerate(range(-step, h + step, step)):
        line = [(x, y + (step * 0.6 if k % 2 else 0)) for k, x in enumerate(xs)]
        pen.line(line, fill=a if n % 2 else b, width=max(3, int(step * 0.32)))


def _scaled(pen: Pen, w: int, h: int, step: int, a: RGB, b: RGB) -> None:
    for j, y in enumerate(range(h + step, -step, -step // 2)):
        for x in range(-step + (step // 2) * (j % 2), w + step, step):
            pen.ellipse((x, y - step, x + step, y), fill=a, outline=b, width=max(2, step // 9))


def _confetti(pen: Pen, w: int, h: int, step: int, a: RGB, b: RGB) -> None:
    rng = np.random.default_rng(w * 1009 + h * 31 + step)
    count = max(8, w * h // (step * step))
    for k, (x, y, t) in enumerate(rng.random((count, 3))):
        cx, cy, r = x * w, y * h, step * (0.12 + 0.24 * t)
        box = (cx - r, cy - r, cx + r, cy + r)
        if k % 3:
            pen.ellipse(box, fill=a if k % 2 else b)
        else:
            pen.polygon([(cx, cy - r), (cx + r, cy + r), (cx - r, cy + r)], fill=b)


def _blocked(pen: Pen, w: int, h: int, step: int, a: RGB, b: RGB) -> None:
    pen.rectangle((0, int(h * 0.55), w, h), fill=a)
    pen.rectangle((0, int(h * 0.47), w, int(h * 0.55)), fill=b)


def _triangles(pen: Pen, w: int, h: int, step: int, a: RGB, b: RGB) -> None:
    for j, y in enumerate(range(0, h, step)):
        for k, x in enumerate(range(-step // 2 * (j % 2), w, step)):
            pen.polygon([(x, y + step), (x + step / 2, y), (x + step, y + step)], fill=a if k % 2 else b)


PATTERNS: dict[str, Pattern] = {
    "plain": _plain,
    "striped": _striped,
    "pinstriped": _pinstriped,
    "diagonal": _diagonal,
    "dotted": _dotted,
    "checked": _checked,
    "tartan": _tartan,
    "wavy": _wavy,
    "chevron": _chevron,
    "scaled": _scaled,
    "confetti": _confetti,
    "blocked": _blocked,
    "triangles": _triangles,
}


def pattern_tile(name: str, size: tuple[int, int], step_px: int, ground: RGB, a: RGB, b: RGB) -> Image.Image:
    """Return an RGB tile of size px with the named pattern in colours a and b on ground."""
    tile = Image.new("RGB", size, ground)
    PATTERNS[name](ImageDraw.Draw(tile), size[0], size[1], max(6, step_px), a, b)
    return tile
