"""Families with an axis: bottle, can, jar and tube."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from .canvas import CENTRE_X, GROUND_Y, RGB, Point, Pose, mix, new_sprite
from .drawing import Drawing
from .labels import LabelSpec, wrap_label
from .patterns import pattern_tile
from .solids import turned

METAL: RGB = (190, 194, 200)


def _ridges(colour: RGB, wide: int, high: int) -> Image.Image:
    tile = Image.new("RGB", (wide, high), colour)
    pen, dark = ImageDraw.Draw(tile), mix(colour, (0, 0, 0), 0.22)
    for x in range(0, wide, 9):
        pen.rectangle((x, 0, x + 3, high), fill=dark)
    return tile


def wrap(d: Drawing, radius: float, high: float) -> Image.Image:
    """Return the wrap-round label texture for a cylinder of this radius and height, px."""
    return wrap_label(d.label, int(radius), max(16, int(high)))


def all_round(spec: LabelSpec, radius: float, high: float) -> Image.Image:
    """Return the bare pattern as a wrap-round texture for this radius and height, px."""
    p = spec.palette
    size = (int(5 * radius), int(high))
    return pattern_tile(spec.pattern, size, int(spec.step * radius * 1.6), p.base, p.accent, p.second)


def _band(sprite: Image.Image, d: Drawing, y0: float, y1: float, r: float, pose: Pose) -> None:
    turned(
        sprite,
        [(y0, r + 1), (y1, r + 1)],
        wrap(d, r, y1 - y0),
        pose,
        gloss=d.gloss * 0.4,
        rounding_px=1,
    )


def bottle(d: Drawing, pose: Pose) -> Image.Image:
    """Draw a bottle: slim and corked, wide and screw-capped, with a pump, or a squat flask."""
    sprite, base = new_sprite(), float(GROUND_Y) - 8
    kind = d.variant % 4
    r = (d.span(0, 62, 80), d.span(0, 80, 104), d.span(0, 84, 110), d.span(0, 96, 128))[kind]
    tall = (d.span(1, 470, 560), d.span(1, 400, 480), d.span(1, 330, 400), d.span(1, 300, 380))[kind]
    neck = (24.0, 34.0, 26.0, 30.0)[kind]
    shoulder = base - tall * (d.span(2, 0.56, 0.66), d.span(2, 0.70, 0.78), 0.84, 0.72)[kind]
    mouth = base - tall
    liquid = mix(d.label.palette.second, d.label.palette.base, d.shape[4])
    glass = mix(liquid, (20, 24, 20), 0.35) if kind == 0 else mix(liquid, (255, 255, 255), 0.18)
    drop = (shoulder - mouth) * d.span(3, 0.45, 0.8)
    body: list[Point] = [
        (mouth, neck),
        (mouth + drop * 0.55, neck),
        (shoulder, r * 0.96),
        (shoulder + 24, r),
    ]
    body += [(base - 22, r), (base - 6, r * 0.95), (base, r * 0.88)]
    turned(sprite, body, glass, pose, gloss=0.35 + 0.5 * d.gloss, rounding_px=21)
    y0, y1 = shoulder + 26, base - d.span(5, 26, 60)
    _band(sprite, d, y0, y1, r, pose)
    cap = _ridges(d.trim, 240, 40)
    if kind == 2:
        turned(sprite, [(mouth - 34, 40.0), (mouth + 4, 42.0)], cap, pose, lid=d.trim)
        turned(sprite, [(mouth - 92, 9.0), (mouth - 32, 10.0)], mix(d.trim, (255, 255, 255), 0.3), pose)
        ImageDraw.Draw(sprite).rounded_rectangle(
            (CENTRE_X - 74, mouth - 108, CENTRE_X + 30, mouth - 88), 9, fill=(*d.trim, 255)
        )
        ImageDraw.Draw(sprite).rounded_rectangle(
            (CENTRE_X - 72, mouth - 106, CENTRE_X + 28, mouth - 100),
            4,
            fill=(*mix(d.trim, (255, 255, 255), 0.4), 255),
        )
    else:
        high = (64.0, 40.0, 0.0, 46.0)[kind]
        grip: Image.Image | RGB = d.trim if kind == 0 else cap
        turned(
            sprite,
            [(mouth - 14, neck + 5), (mouth - 14 + high, neck + 6)],
            grip,
            pose,
            gloss=0.4,
            lid=d.trim,
        )
    return sprite


def can(d: Drawing, pose: Pose) -> Image.Image:
    """Draw a drink or food can with metal ends and a label all round."""
    sprite, base = new_sprite(), float(GROUND_Y) - 12
    slim = d.variant % 2 == 0
    r = d.span(0, 84, 112) if slim else d.span(0, 120, 160)
    tall = d.span(1, 380, 460) if slim else d.span(1, 230, 340)
    top = base - tall
    neck = r * (0.86 if slim else 0.99)
    turned(
        sprite,
        [(top - 6, neck), (top + 8, neck), (top + 30, r), (base - 26, r), (base, r * 0.9)],
        METAL,
        pose,
        gloss=0.7,
        lid=(168, 172, 178),
    )
    if slim:
        ImageDraw.Draw(sprite).ellipse(
            (CENTRE_X - 22, top - 12, CENTRE_X + 18, top - 2), outline=(120, 124, 130), width=3
        )
        profile = [(top + 12, neck + 2), (top + 34, r), (base - 22, r), (base - 12, r * 0.96)]
    else:
        profile = [(top + 16, r + 1), (base - 18, r + 1)]
    high = profile[-1][0] - profile[0][0]
    turned(
        sprite,
        profile,
        wrap(d, r, high),
        pose,
        gloss=d.gloss if slim else d.gloss * 0.4,
        rounding_px=9 if slim else 1,
    )
    return sprite


def jar(d: Drawing, pose: Pose) -> Image.Image:
    """Draw a glass jar with contents, a label band and a lid."""
    sprite, base = new_sprite(), float(GROUND_Y) - 14
    r, tall = d.span(0, 112, 152), d.span(1, 240, 350)
    top, palette = base - tall, d.label.palette
    inside = mix(palette.second, (110, 60, 24), 0.35)
    rng = np.random.default_rng(d.seed)
    noise = rng.integers(-26, 26, (max(8, int(tall / 9)), 90, 1))
    grain = np.clip(np.asarray(inside, dtype=np.int64) + noise, 0, 255).astype(np.uint8)
    contents = Image.fromarray(grain).resize((int(5 * r), int(tall)), Image.Resampling.BICUBIC)
    waist = r * d.span(2, 0.94, 1.0)
    profile = [
        (top, r * 0.86),
        (top + 22, r * 0.86),
        (top + 52, r),
        ((top + base) / 2, waist),
        (base - 24, r),
        (base, r * 0.88),
    ]
    turned(sprite, profile, contents, pose, gloss=0.8, rounding_px=15)
    y0 = top + tall * d.span(3, 0.26, 0.34)
    _band(sprite, d, y0, y0 + tall * d.span(4, 0.5, 0.6), r, pose)
    high = d.span(5, 40, 62)
    lid = (
        pattern_tile(
            d.label.pattern,
            (int(5 * r), int(high)),
            18,
            d.trim,
            mix(d.trim, (255, 255, 255), 0.4),
            d.trim,
        )
        if d.variant % 2
        else _ridges(d.trim, 560, 30)
    )
    turned(
        sprite,
        [(top - 22, r * 0.9), (top - 22 + high, r * 0.92)],
        lid,
        pose,
        gloss=0.35,
        lid=d.trim,
    )
    return sprite


def tube(d: Drawing, pose: Pose) -> Image.Image:
    """Draw a squeeze tube that stands on its cap, crimped at the top."""
    sprite, base = new_sprite(), float(GROUND_Y) - 8
    r, tall, cap = d.span(0, 78, 104), d.span(1, 420, 530), d.span(2, 56, 96)
    top, foot = base - tall, base - cap
    wide = r * d.span(3, 1.05, 1.2)
    profile = [(top + 26, wide), (top + tall * 0.35, r * 1.04), (foot - 40, r), (foot, r * 0.92)]
    turned(
        sprite,
        profile,
        wrap(d, r, foot - top),
        Pose(pose.yaw * 0.5, pose.tilt * 0.3, pose.light),
        gloss=d.gloss * 0.8,
        rounding_px=9,
    )
    pen, colour = ImageDraw.Draw(sprite), mix(d.label.palette.base, (255, 255, 255), 0.25)
    pen.rectangle((CENTRE_X - wide, top, CENTRE_X + wide, top + 32), fill=(*colour, 255))
    for x in range(int(CENTRE_X - wide) + 3, int(CENTRE_X + wide), 7):
        pen.line((x, top + 2, x, top + 29), fill=(*mix(colour, (0, 0, 0), 0.18), 255), width=2)
    turned(
        sprite,
        [(foot - 2, r * 0.9), (base, r * (0.9 if d.variant % 2 else 0.78))],
        _ridges(d.trim, 420, 30),
        pose,
        gloss=0.35,
    )
    return sprite
