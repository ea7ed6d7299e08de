"""Round things of the home: mug, lamp and clock."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from .canvas import CENTRE_X, GROUND_Y, Pose, mix, new_sprite
from .drawing import Drawing
from .labels import render_label
from .packs_turned import all_round, wrap
from .patterns import pattern_tile
from .solids import turned


def mug(d: Drawing, pose: Pose) -> Image.Image:
    """Draw a mug with a handle, a printed side and a dark inside."""
    sprite, base = new_sprite(), float(GROUND_Y) - 18
    r, tall = d.span(0, 120, 150), d.span(1, 240, 320)
    top = base - tall
    side = 1 if d.seed % 2 else -1
    x = CENTRE_X + side * (r * 0.98)
    grip, reach, shine = (
        ImageDraw.Draw(sprite),
        d.span(2, 58, 78),
        mix(d.trim, (255, 255, 255), 0.35),
    )
    box = (x - reach, top + tall * 0.16, x + reach, top + tall * 0.78)
    shade = mix(d.trim, (0, 0, 0), 0.25)
    for inset, colour, width in ((0, shade, 30), (2, d.trim, 24), (8, shine, 6)):
        grip.ellipse(
            (box[0] + inset, box[1] + inset, box[2] - inset, box[3] - inset),
            outline=(*colour, 255),
            width=width,
        )
    shape = (r * d.span(3, 0.8, 1.06), r)
    profile = [
        (top, shape[1]),
        (base - 30, (shape[0] + shape[1]) / 2),
        (base - 8, shape[0] * 0.96),
        (base, shape[0] * 0.88),
    ]
    texture = all_round(d.label, r, tall) if d.variant % 2 else wrap(d, r, tall)
    turned(
        sprite,
        profile,
        texture,
        pose,
        gloss=0.5 * d.gloss + 0.15,
        rounding_px=11,
        lid=d.label.palette.paper,
    )
    b = r * pose.tilt
    pen = ImageDraw.Draw(sprite)
    rim = (*mix(d.trim, (255, 255, 255), 0.5), 255)
    pen.ellipse((CENTRE_X - r, top - b, CENTRE_X + r, top + b), fill=rim)
    pen.ellipse(
        (CENTRE_X - r * 0.93, top - b * 0.86, CENTRE_X + r * 0.93, top + b * 0.9),
        fill=(*mix(d.trim, (0, 0, 0), 0.55), 255),
    )
    return sprite


def lamp(d: Drawing, pose: Pose) -> Image.Image:
    """Draw a table lamp: a turned foot, a stem and a patterned shade."""
    sprite, base = new_sprite(), float(GROUND_Y) - 10
    low, high = d.span(0, 140, 190), d.span(1, 70, 150)
    shade_high = d.span(2, 170, 230)
    top = 44.0
    foot, kind = d.span(3, 60, 96), d.variant % 3
    neck = top + shade_high - 10
    if kind == 0:
        profile = [(neck, 8.0), (base - 24, 8.0), (base - 18, foot), (base, foot)]
    elif kind == 1:
        profile = [
            (neck, 10.0),
            (neck + 40, 14.0),
            (base - 150, foot),
            (base - 70, foot * 1.1),
            (base, foot * 0.6),
        ]
    else:
        profile = [
            (neck, 12.0),
            (neck + 60, 12.0),
            (neck + 90, 40.0),
            (base - 90, 24.0),
            (base - 30, foot),
            (base, foot),
        ]
    turned(sprite, profile, d.trim, pose, gloss=0.5, rounding_px=5 if kind == 0 else 25)
    cover = all_round(d.label, low * 0.7, shade_high)
    turned(
        sprite,
        [(top, high), (top + shade_high, low)],
        cover,
        Pose(pose.yaw, pose.tilt * 0.5, pose.light * 0.4),
        gloss=0.05,
        rounding_px=1,
    )
    pen = ImageDraw.Draw(sprite)
    b = high * pose.tilt * 0.5
    pen.ellipse((CENTRE_X - high, top - b, CENTRE_X + high, top + b), fill=(255, 246, 214, 255))
    return sprite


def clock(d: Drawing, pose: Pose) -> Image.Image:
    """Draw a round wall clock with a patterned ring, marks and hands."""
    sprite, pen_r = new_sprite(), d.span(0, 170, 212)
    cx, cy = CENTRE_X, 330.0
    p, ring = d.label.palette, d.span(1, 0.72, 0.86)
    size = int(2 * pen_r)
    plate = pattern_tile(d.label.pattern, (size, size), int(size * d.label.step * 0.7), p.base, p.accent, p.second)
    face = ImageDraw.Draw(plate)
    inner = pen_r * ring
    face.ellipse(
        (pen_r - inner, pen_r - inner, pen_r + inner, pen_r + inner),
        fill=p.paper,
        outline=p.ink,
        width=3,
    )
    angles = np.arange(12) * (np.pi / 6)
    for k, a in enumerate(angles):
        length = 0.80 if k % 3 else 0.70
        ax, ay = float(np.sin(a)), -float(np.cos(a))
        face.line(
            (
                pen_r + ax * inner * 0.93,
                pen_r + ay * inner * 0.93,
                pen_r + ax * inner * length,
                pen_r + ay * inner * length,
            ),
            fill=p.ink,
            width=5 if k % 3 else 9,
        )
    logo = render_label(d.label, (96, 96)).resize((58, 58))
    if d.variant % 2:
        plate.paste(logo, (int(pen_r - 29), int(pen_r + inner * 0.24)))
    for turn, length, width, colour in (
        (d.shape[3], 0.5, 11, p.ink),
        (d.shape[4], 0.78, 7, p.ink),
        (d.shape[5], 0.82, 3, d.trim),
    ):
        a = 2 * np.pi * turn
        face.line(
            (
                pen_r,
                pen_r,
                pen_r + float(np.sin(a)) * inner * length,
                pen_r - float(np.cos(a)) * inner * length,
            ),
            fill=colour,
            width=width,
        )
    face.ellipse((pen_r - 9, pen_r - 9, pen_r + 9, pen_r + 9), fill=d.trim)
    mask = Image.new("L", (size, size), 0)
    ImageDraw.Draw(mask).ellipse((0, 0, size - 1, size - 1), fill=255)
    rim = ImageDraw.Draw(sprite)
    rim.ellipse(
        (cx - pen_r - 13, cy - pen_r - 13, cx + pen_r + 13, cy + pen_r + 13),
        fill=(*mix(d.trim, (0, 0, 0), 0.3), 255),
    )
    rim.ellipse(
        (cx - pen_r - 11, cy - pen_r - 12, cx + pen_r + 9, cy + pen_r + 8),
        fill=(*mix(d.trim, (255, 255, 255), 0.25), 255),
    )
    sprite.paste(plate, (int(cx - pen_r), int(cy - pen_r)), mask)
    rim.arc((cx - pen_r, cy - pen_r, cx + pen_r, cy + pen_r), 150, 300, fill=(0, 0, 0, 255), width=3)
    return sprite
