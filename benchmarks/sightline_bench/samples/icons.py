"""Small emblems that stand on labels: fruit, leaves, stars and logo-like marks."""

from __future__ import annotations

from collections.abc import Callable
from math import cos, pi, sin

from PIL import ImageDraw

from .canvas import RGB, Point, mix, spline

Pen = ImageDraw.ImageDraw
Icon = Callable[[Pen, float, float, float, RGB, RGB], None]


def _ring_points(x: float, y: float, radii: tuple[float, ...], count: int) -> list[Point]:
    n = len(radii)
    angles = [2 * pi * k / count - pi / 2 for k in range(count)]
    return [(x + radii[k % n] * cos(a), y + radii[k % n] * sin(a)) for k, a in enumerate(angles)]


def _disc(pen: Pen, x: float, y: float, r: float, fill: RGB) -> None:
    pen.ellipse((x - r, y - r, x + r, y + r), fill=fill)


def _orange(pen: Pen, x: float, y: float, r: float, a: RGB, b: RGB) -> None:
    _disc(pen, x, y, r, a)
    _disc(pen, x, y, r * 0.86, mix(a, (255, 255, 255), 0.75))
    for k in range(8):
        start = k * 45 + 4
        box = (x - r * 0.76, y - r * 0.76, x + r * 0.76, y + r * 0.76)
        pen.pieslice(box, start, start + 37, fill=mix(a, b, 0.12))


def _cherry(pen: Pen, x: float, y: float, r: float, a: RGB, b: RGB) -> None:
    width = max(2, int(r * 0.1))
    for dx in (-0.5, 0.5):
        pen.line((x + dx * r, y + r * 0.3, x + r * 0.15, y - r * 0.9), fill=b, width=width)
        _disc(pen, x + dx * r, y + r * 0.5, r * 0.46, a)
        _disc(pen, x + dx * r - r * 0.14, y + r * 0.36, r * 0.12, mix(a, (255, 255, 255), 0.7))
    pen.ellipse((x + r * 0.1, y - r, x + r * 0.8, y - r * 0.65), fill=b)


def _leaf(pen: Pen, x: float, y: float, r: float, a: RGB, b: RGB) -> None:
    pen.polygon(
        spline([(x - r, y + r), (x - r * 0.5, y - r * 0.5), (x + r, y - r), (x + r * 0.5, y + r * 0.5)]),
        fill=a,
    )
    pen.line((x - r, y + r, x + r * 0.7, y - r * 0.7), fill=b, width=max(2, int(r * 0.09)))
    for t in (0.3, 0.5, 0.7):
        px, py = x - r + 2 * r * t, y + r - 2 * r * t
        pen.line((px, py, px, py - r * 0.45), fill=b, width=max(1, int(r * 0.06)))


def _star(pen: Pen, x: float, y: float, r: float, a: RGB, b: RGB) -> None:
    pen.polygon(_ring_points(x, y, (r, r * 0.42), 10), fill=a)
    _disc(pen, x, y, r * 0.2, b)


def _sun(pen: Pen, x: float, y: float, r: float, a: RGB, b: RGB) -> None:
    pen.polygon(_ring_points(x, y, (r, r * 0.66), 24), fill=b)
    _disc(pen, x, y, r * 0.6, a)


def _mountain(pen: Pen, x: float, y: float, r: float, a: RGB, b: RGB) -> None:
    pen.polygon([(x - r, y + r * 0.7), (x - r * 0.2, y - r * 0.8), (x + r * 0.6, y + r * 0.7)], fill=a)
    pen.polygon([(x - r * 0.1, y + r * 0.7), (x + r * 0.5, y - r * 0.3), (x + r, y + r * 0.7)], fill=b)
    white = mix(a, (255, 255, 255), 0.85)
    pen.polygon(
        [(x - r * 0.42, y - r * 0.35), (x - r * 0.2, y - r * 0.8), (x + 0.04 * r, y - r * 0.35)],
        fill=white,
    )


def _heart(pen: Pen, x: float, y: float, r: float, a: RGB, b: RGB) -> None:
    for dx in (-0.47, 0.47):
        _disc(pen, x + dx * r, y - r * 0.3, r * 0.52, a)
    pen.polygon([(x - r * 0.93, y - r * 0.05), (x + r * 0.93, y - r * 0.05), (x, y + r)], fill=a)
    _disc(pen, x - r * 0.5, y - r * 0.4, r * 0.15, b)


def _bolt(pen: Pen, x: float, y: float, r: float, a: RGB, b: RGB) -> None:
    _disc(pen, x, y, r, b)
    zig = [(0.2, -0.8), (-0.5, 0.15), (-0.05, 0.15), (-0.2, 0.8), (0.5, -0.2), (0.05, -0.2)]
    pen.polygon([(x + dx * r, y + dy * r) for dx, dy in zig], fill=a)


def _drop(pen: Pen, x: float, y: float, r: float, a: RGB, b: RGB) -> None:
    _disc(pen, x, y + r * 0.3, r * 0.66, a)
    pen.polygon([(x - r * 0.6, y + r * 0.05), (x, y - r), (x + r * 0.6, y + r * 0.05)], fill=a)
    pen.arc(
        (x - r * 0.42, y - r * 0.1, x + r * 0.42, y + r * 0.75),
        90,
        170,
        fill=b,
        width=max(2, int(r * 0.12)),
    )


def _flower(pen: Pen, x: float, y: float, r: float, a: RGB, b: RGB) -> None:
    for px, py in _ring_points(x, y, (r * 0.6,), 6):
        _disc(pen, px, py, r * 0.38, a)
    _disc(pen, x, y, r * 0.32, b)


def _rings(pen: Pen, x: float, y: float, r: float, a: RGB, b: RGB) -> None:
    for k, colour in enumerate((a, b, a, b)):
        _disc(pen, x, y, r * (1 - 0.25 * k), colour)


def _fish(pen: Pen, x: float, y: float, r: float, a: RGB, b: RGB) -> None:
    pen.polygon([(x + r * 0.4, y), (x + r, y - r * 0.55), (x + r, y + r * 0.55)], fill=b)
    pen.ellipse((x - r, y - r * 0.5, x + r * 0.6, y + r * 0.5), fill=a)
    _disc(pen, x - r * 0.55, y - r * 0.12, r * 0.11, b)


def _apple(pen: Pen, x: float, y: float, r: float, a: RGB, b: RGB) -> None:
    for dx in (-0.34, 0.34):
        pen.ellipse((x + (dx - 0.58) * r, y - r * 0.55, x + (dx + 0.58) * r, y + r * 0.9), fill=a)
    pen.line((x, y - r * 0.4, x + r * 0.1, y - r * 0.95), fill=b, width=max(2, int(r * 0.1)))
    pen.ellipse((x + r * 0.08, y - r * 0.98, x + r * 0.62, y - r * 0.66), fill=b)


def _hexagon(pen: Pen, x: float, y: float, r: float, a: RGB, b: RGB) -> None:
    pen.polygon(_ring_points(x, y, (r,), 6), fill=a)
    pen.polygon(_ring_points(x, y, (r * 0.62,), 6), fill=b)
    pen.polygon(_ring_points(x, y, (r * 0.34,), 3), fill=a)


ICONS: dict[str, Icon] = {
    "orange": _orange,
    "cherry": _cherry,
    "leaf": _leaf,
    "star": _star,
    "sun": _sun,
    "mountain": _mountain,
    "heart": _heart,
    "bolt": _bolt,
    "drop": _drop,
    "flower": _flower,
    "rings": _rings,
    "fish": _fish,
    "apple": _apple,
    "hexagon": _hexagon,
}


def draw_icon(pen: Pen, name: str, x: float, y: float, r: float, a: RGB, b: RGB) -> None:
    """Draw the named emblem within r px of (x, y) in colours a and b."""
    ICONS[name](pen, x, y, r, a, b)
