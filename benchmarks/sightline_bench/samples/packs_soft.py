"""Soft families drawn as puffed cut-outs: pouch and bag."""

from __future__ import annotations

from PIL import Image, ImageDraw

from .canvas import CENTRE_X, GROUND_Y, Point, Pose, mix, new_sprite, spline
from .drawing import Drawing
from .icons import draw_icon
from .labels import render_label
from .patterns import pattern_tile
from .solids import puffed


def fabric(d: Drawing, size: tuple[int, int], scale: float = 1.0) -> Image.Image:
    """Return the item's pattern as an RGB texture of size px."""
    p = d.label.palette
    return pattern_tile(d.label.pattern, size, int(size[0] * d.label.step * scale), p.base, p.accent, p.second)


def turned_by(points: list[Point], pose: Pose) -> list[Point]:
    """Return an outline narrowed as the item turns away by the yaw of pose."""
    squeeze = max(0.72, 1.0 - pose.yaw * pose.yaw * 0.5)
    return [(CENTRE_X + (x - CENTRE_X) * squeeze, y) for x, y in points]


def pouch(d: Drawing, pose: Pose) -> Image.Image:
    """Draw a filled snack or coffee pouch with crimped ends."""
    sprite = new_sprite()
    w, tall = d.span(0, 140, 180), d.span(1, 400, 510)
    base, waist = float(GROUND_Y), d.span(2, 6, 20)
    top = base - tall
    left: list[Point] = []
    for k in range(25):
        t = k / 24
        left.append((CENTRE_X - w + waist * (4 * t * (1 - t)), top + tall * t))
    right = [(2 * CENTRE_X - x, y) for x, y in reversed(left)]
    teeth = 20
    zig = [(CENTRE_X - w + 2 * w * k / teeth, top - (7 if k % 2 else 0)) for k in range(1, teeth)]
    feet = [(x, 2 * base - tall - y) for x, y in reversed(zig)] if d.variant % 2 else []
    outline = turned_by([*zig, *right, *feet, *reversed(left)], pose)
    seal = mix(d.label.palette.base, (255, 255, 255), 0.3)
    face = Image.new("RGB", (int(2 * w), int(tall)), seal)
    printed = int(tall) - (72 if d.variant % 2 else 44)
    face.paste(render_label(d.label, (int(2 * w), printed)), (0, 36))
    pen = ImageDraw.Draw(face)
    for y0 in (0, int(tall) - 34) if d.variant % 2 else (0,):
        pen.rectangle((0, y0, 2 * w, y0 + 32), fill=seal)
        for y in range(y0 + 3, y0 + 32, 7):
            pen.line((0, y, 2 * w, y), fill=mix(seal, (0, 0, 0), 0.2), width=2)
    puffed(
        sprite,
        outline,
        face,
        pose,
        puff_px=34,
        relief=1.3,
        gloss=0.3 + 0.5 * d.gloss,
        wrinkles=d.seed,
    )
    return sprite


def bag(d: Drawing, pose: Pose) -> Image.Image:
    """Draw a tote, a handbag or a backpack with handles and an emblem."""
    sprite, kind = new_sprite(), d.variant % 3
    w, tall = d.span(0, 150, 190), d.span(1, 300, 380)
    flare, base = d.span(2, -26, 22), float(GROUND_Y)
    top = base - tall
    strap, dark = d.trim, mix(d.trim, (0, 0, 0), 0.35)
    pen = ImageDraw.Draw(sprite)
    loop = d.span(3, 60, 95)
    rise = d.span(4, 90, 150) if kind != 2 else 50.0
    for off, colour in ((12, dark), (0, strap)):
        box = (
            CENTRE_X - loop - off / 2,
            top - rise + off,
            CENTRE_X + loop - off / 2,
            top + rise + off,
        )
        pen.arc(box, 180, 360, fill=(*colour, 255), width=17)
    round_px = (30.0, 44.0, 80.0)[kind]
    body = [
        (CENTRE_X - w + flare + round_px, top),
        (CENTRE_X + w - flare - round_px, top),
        (CENTRE_X + w - flare, top + round_px),
        (CENTRE_X + w, base - 40),
        (CENTRE_X + w - 26, base),
        (CENTRE_X - w + 26, base),
        (CENTRE_X - w, base - 40),
        (CENTRE_X - w + flare, top + round_px),
    ]
    outline = turned_by(spline(body, 10), pose)
    cloth = fabric(d, (int(2 * w), int(tall)), 0.9)
    puffed(
        sprite,
        outline,
        cloth,
        pose,
        puff_px=30,
        relief=1.1,
        gloss=d.gloss * 0.35,
        wrinkles=d.seed if kind != 1 else None,
    )
    p = d.label.palette
    if kind == 0:
        badge = render_label(d.label, (220, 240)).resize((120, 130), Image.Resampling.BILINEAR)
        sprite.paste(badge, (int(CENTRE_X - 60), int(top + tall * 0.4)))
    elif kind == 1:
        flap = [
            (CENTRE_X - w + flare + 8, top + 4),
            (CENTRE_X + w - flare - 8, top + 4),
            (CENTRE_X + w * 0.6, top + tall * 0.5),
            (CENTRE_X, top + tall * 0.58),
            (CENTRE_X - w * 0.6, top + tall * 0.5),
        ]
        puffed(
            sprite,
            turned_by(spline(flap, 10), pose),
            mix(d.trim, p.base, 0.2),
            pose,
            puff_px=12,
            gloss=0.3,
        )
        pen.rounded_rectangle(
            (CENTRE_X - 20, top + tall * 0.5, CENTRE_X + 20, top + tall * 0.64),
            6,
            fill=(206, 172, 88, 255),
        )
        pen.ellipse(
            (CENTRE_X - 6, top + tall * 0.55, CENTRE_X + 6, top + tall * 0.585),
            fill=(120, 94, 40, 255),
        )
    else:
        pocket = [
            (CENTRE_X - w * 0.66, base - tall * 0.46),
            (CENTRE_X + w * 0.66, base - tall * 0.46),
            (CENTRE_X + w * 0.7, base - 24),
            (CENTRE_X - w * 0.7, base - 24),
        ]
        puffed(sprite, turned_by(spline(pocket, 10), pose), mix(d.trim, p.base, 0.35), pose, puff_px=16)
        draw_icon(pen, d.label.icon, CENTRE_X, base - tall * 0.24, 34, p.paper, p.ink)
        pen.arc(
            (CENTRE_X - w * 0.7, top + 30, CENTRE_X + w * 0.7, top + tall * 0.7),
            200,
            340,
            fill=(*dark, 255),
            width=5,
        )
    return sprite
