"""Labels: the printed face of an item, with brand, variant word, pattern and emblem."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw

from .canvas import RGB, fit_text, mix
from .icons import draw_icon
from .palette import Palette
from .patterns import pattern_tile

LAYOUT_COUNT = 6
WRAP_SPAN = 2.5
"""Half of the angle, in radians, that a wrapped texture covers on a cylinder."""


@dataclass(frozen=True)
class LabelSpec:
    """Everything printed on one item; step is the pattern's period relative to the label width."""

    brand: str
    word: str
    layout: int
    pattern: str
    icon: str
    palette: Palette
    step: float = 0.12


def _ground(spec: LabelSpec, w: int, h: int) -> Image.Image:
    p = spec.palette
    quiet = mix(p.accent, p.base, 0.15)
    return pattern_tile(spec.pattern, (w, h), int(spec.step * w), p.base, quiet, p.second)


def _panel(spec: LabelSpec, w: int, h: int) -> Image.Image:
    p, face = spec.palette, _ground(spec, w, h)
    pen = ImageDraw.Draw(face)
    box = (w * 0.08, h * 0.2, w * 0.92, h * 0.72)
    pen.rounded_rectangle(box, radius=w * 0.06, fill=p.paper, outline=p.accent, width=max(2, w // 60))
    fit_text(pen, (w * 0.13, h * 0.24, w * 0.87, h * 0.42), spec.brand, p.ink, weight=1)
    fit_text(pen, (w * 0.2, h * 0.43, w * 0.8, h * 0.5), spec.word, p.ink)
    draw_icon(pen, spec.icon, w / 2, h * 0.61, min(w, h) * 0.095, p.mark_on(p.paper), p.ink)
    return face


def _split(spec: LabelSpec, w: int, h: int) -> Image.Image:
    p, face = spec.palette, Image.new("RGB", (w, h), spec.palette.base)
    lower = pattern_tile(spec.pattern, (w, h - h // 2), int(spec.step * w), p.accent, p.base, p.second)
    face.paste(lower, (0, h // 2))
    pen = ImageDraw.Draw(face)
    ink = p.text_on(p.base)
    fit_text(pen, (w * 0.07, h * 0.06, w * 0.93, h * 0.25), spec.brand, ink, weight=1)
    fit_text(pen, (w * 0.18, h * 0.26, w * 0.82, h * 0.33), spec.word, ink)
    r = min(w, h) * 0.22
    pen.ellipse((w / 2 - r, h * 0.54 - r, w / 2 + r, h * 0.54 + r), fill=p.paper)
    draw_icon(pen, spec.icon, w / 2, h * 0.54, r * 0.68, p.mark_on(p.paper), p.ink)
    return face


def _badge(spec: LabelSpec, w: int, h: int) -> Image.Image:
    p, face = spec.palette, _ground(spec, w, h)
    pen = ImageDraw.Draw(face)
    r = min(w * 0.42, h * 0.34)
    for scale, colour in ((1.0, p.ink), (0.95, p.paper), (0.86, p.accent), (0.83, p.paper)):
        pen.ellipse(
            (w / 2 - r * scale, h * 0.46 - r * scale, w / 2 + r * scale, h * 0.46 + r * scale),
            fill=colour,
        )
    draw_icon(pen, spec.icon, w / 2, h * 0.46 - r * 0.32, r * 0.36, p.mark_on(p.paper), p.ink)
    fit_text(
        pen,
        (w / 2 - r * 0.74, h * 0.46 + r * 0.08, w / 2 + r * 0.74, h * 0.46 + r * 0.44),
        spec.brand,
        p.ink,
        weight=1,
    )
    pen.rectangle((w * 0.06, h * 0.82, w * 0.94, h * 0.93), fill=p.ink)
    fit_text(pen, (w * 0.1, h * 0.835, w * 0.9, h * 0.915), spec.word, p.paper)
    return face


def _upright(spec: LabelSpec, w: int, h: int) -> Image.Image:
    p, face = spec.palette, Image.new("RGB", (w, h), spec.palette.base)
    strip_w = int(w * 0.36)
    strip = pattern_tile(spec.pattern, (strip_w, h), int(spec.step * w), p.accent, p.base, p.second)
    face.paste(strip, (0, 0))
    line = Image.new("RGB", (int(h * 0.84), int(w * 0.36)), p.base)
    fit_text(
        ImageDraw.Draw(line),
        (4, 2, line.width - 4, line.height - 2),
        spec.brand,
        p.text_on(p.base),
        weight=1,
    )
    face.paste(line.rotate(90, expand=True), (int(w * 0.42), int(h * 0.04)))
    pen = ImageDraw.Draw(face)
    draw_icon(pen, spec.icon, w * 0.18, h * 0.8, w * 0.14, p.paper, p.ink)
    fit_text(pen, (w * 0.4, h * 0.89, w * 0.96, h * 0.97), spec.word, p.text_on(p.base))
    return face


def _minimal(spec: LabelSpec, w: int, h: int) -> Image.Image:
    p, face = spec.palette, Image.new("RGB", (w, h), spec.palette.paper)
    band = pattern_tile(spec.pattern, (w, int(h * 0.3)), int(spec.step * w), p.base, p.accent, p.second)
    face.paste(band, (0, int(h * 0.62)))
    pen = ImageDraw.Draw(face)
    fit_text(pen, (w * 0.08, h * 0.08, w * 0.92, h * 0.26), spec.brand, p.ink, weight=1)
    pen.line((w * 0.2, h * 0.29, w * 0.8, h * 0.29), fill=p.base, width=max(2, h // 90))
    fit_text(pen, (w * 0.15, h * 0.31, w * 0.85, h * 0.39), spec.word, p.ink)
    draw_icon(pen, spec.icon, w / 2, h * 0.52, min(w, h) * 0.1, p.mark_on(p.paper), p.ink)
    return face


def _hero(spec: LabelSpec, w: int, h: int) -> Image.Image:
    p, face = spec.palette, _ground(spec, w, h)
    pen = ImageDraw.Draw(face)
    pen.polygon([(0, 0), (w, 0), (w, h * 0.24), (0, h * 0.34)], fill=p.ink)
    fit_text(pen, (w * 0.07, h * 0.03, w * 0.93, h * 0.24), spec.brand, p.paper, weight=1)
    r = min(w * 0.36, h * 0.24)
    pen.ellipse((w / 2 - r * 1.15, h * 0.6 - r * 1.15, w / 2 + r * 1.15, h * 0.6 + r * 1.15), fill=p.paper)
    draw_icon(pen, spec.icon, w / 2, h * 0.6, r * 0.85, p.mark_on(p.paper), p.ink)
    pen.rectangle((w * 0.12, h * 0.88, w * 0.88, h * 0.96), fill=p.paper)
    fit_text(pen, (w * 0.15, h * 0.885, w * 0.85, h * 0.955), spec.word, p.ink)
    return face


_LAYOUTS = (_panel, _split, _badge, _upright, _minimal, _hero)


@lru_cache(maxsize=48)
def render_label(spec: LabelSpec, size: tuple[int, int]) -> Image.Image:
    """Return the printed face as an RGB image of size px; treat it as read-only, it is cached."""
    return _LAYOUTS[spec.layout % LAYOUT_COUNT](spec, max(8, size[0]), max(8, size[1]))


def small_print(size: tuple[int, int], ground: RGB, ink: RGB, seed: int) -> Image.Image:
    """Return a back panel of size px with text-like lines and a bar code, RGB."""
    w, h = size
    face = Image.new("RGB", size, ground)
    pen, rng = ImageDraw.Draw(face), np.random.default_rng(seed)
    soft = mix(ink, ground, 0.35)
    for y in range(int(h * 0.1), int(h * 0.6), max(7, h // 28)):
        pen.line((w * 0.14, y, w * (0.5 + 0.36 * float(rng.random())), y), fill=soft, width=3)
    pen.rectangle((w * 0.18, h * 0.68, w * 0.82, h * 0.88), fill=(250, 250, 250))
    x = w * 0.22
    while x < w * 0.78:
        bar = float(rng.uniform(1.5, 5.0))
        pen.rectangle((x, h * 0.7, x + bar, h * 0.86), fill=(20, 20, 20))
        x += bar + float(rng.uniform(2.5, 5.0))
    return face


@lru_cache(maxsize=48)
def wrap_label(spec: LabelSpec, radius_px: int, height_px: int) -> Image.Image:
    """Return an RGB texture for a cylinder: the face in front, small print on both flanks."""
    width = int(2 * WRAP_SPAN * radius_px)
    front = render_label(spec, (int(1.9 * radius_px), height_px))
    ground = spec.palette.paper if spec.layout % LAYOUT_COUNT == 4 else spec.palette.base
    side_w = (width - front.width) // 2 + 1
    side = small_print((side_w, height_px), ground, spec.palette.text_on(ground), radius_px)
    wrapped = Image.new("RGB", (width, height_px), ground)
    wrapped.paste(side, (0, 0))
    wrapped.paste(side, (side_w + front.width - 1, 0))
    wrapped.paste(front, (side_w, 0))
    return wrapped
