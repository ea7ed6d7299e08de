"""Worn families drawn as puffed cut-outs: sneaker, shirt and cap."""

from __future__ import annotations

from PIL import Image, ImageDraw

from .canvas import CENTRE_X, RGB, Point, Pose, fit_text, mix, new_sprite, spline
from .drawing import Drawing
from .icons import draw_icon
from .packs_soft import fabric, turned_by
from .patterns import pattern_tile
from .solids import puffed


def sneaker(d: Drawing, pose: Pose) -> Image.Image:
    """Draw a sports shoe from the side: sole, upper, toe, laces and a side mark."""
    sprite, p = new_sprite(), d.label.palette
    y, high = 470.0, d.span(0, 0, 90) if d.variant % 2 else d.span(0, 0, 24)
    thick = d.span(1, 26, 48)
    upper = [
        (52, y),
        (40, y - 120 - high * 0.6),
        (58, y - 190 - high),
        (110, y - 178 - high),
        (150, y - 184 - high),
        (178, y - 160 - high * 0.5),
        (250, y - 112),
        (340, y - 78),
        (414, y - 58),
        (446, y - 22),
        (440, y),
    ]
    lining = [
        (62, y - 176 - high),
        (110, y - 160 - high),
        (160, y - 172 - high),
        (150, y - 202 - high),
        (90, y - 204 - high),
    ]
    puffed(sprite, spline(lining), mix(p.ink, p.base, 0.2), pose, puff_px=8)
    cloth = fabric(d, (410, int(190 + high)), 0.6)
    puffed(
        sprite,
        spline([(float(a), float(b)) for a, b in upper]),
        cloth,
        pose,
        puff_px=30,
        relief=1.2,
        gloss=d.gloss * 0.3,
    )
    toe = [(350.0, y), (366.0, y - 56), (412.0, y - 54), (444.0, y - 22), (440.0, y)]
    puffed(sprite, spline(toe), d.trim, pose, puff_px=12, gloss=0.2)
    heel = [(50.0, y), (44.0, y - 100), (80.0, y - 110), (104.0, y - 50), (110.0, y)]
    puffed(sprite, spline(heel), mix(d.trim, p.base, 0.25), pose, puff_px=12, gloss=0.2)
    tongue = [
        (160.0, y - 196 - high),
        (186.0, y - 200 - high * 0.9),
        (216.0, y - 140),
        (196.0, y - 130),
    ]
    puffed(sprite, spline(tongue), p.second, pose, puff_px=8)
    pen = ImageDraw.Draw(sprite)
    for k in range(5):
        t = k / 4
        x, ly = 186 + 120 * t, y - 150 - high * 0.35 * (1 - t) + 62 * t
        pen.line((x - 16, ly + 26, x + 14, ly - 4), fill=(*mix(p.paper, (0, 0, 0), 0.3), 255), width=11)
        pen.line((x - 16, ly + 24, x + 14, ly - 6), fill=(*p.paper, 255), width=8)
    mark: RGB = p.accent if d.label.pattern == "plain" else p.paper
    if d.variant % 3 == 0:
        for lean in (-1, 1):
            pen.line((222 - 40 * lean, y - 84, 222 + 40 * lean, y - 8), fill=(*mark, 255), width=15)
    elif d.variant % 3 == 1:
        zigzag = [(146 + 34 * k, y - (22 if k % 2 else 66) + 5 * k) for k in range(6)]
        pen.line(zigzag, fill=(*mark, 255), width=13, joint="curve")
    else:
        pen.ellipse((196, y - 92, 276, y - 12), fill=(*p.paper, 255))
        draw_icon(pen, d.label.icon, 236, y - 52, 30, p.mark_on(p.paper), p.ink)
    sole = [
        (44.0, y - 8),
        (240.0, y - 4),
        (440.0, y - 12),
        (456.0, y + thick * 0.4),
        (430.0, y + thick),
        (240.0, y + thick * 0.96),
        (60.0, y + thick),
        (40.0, y + thick * 0.5),
    ]
    puffed(sprite, spline(sole), p.paper, pose, puff_px=10, gloss=0.1)
    pen.line((52, y + thick * 0.62, 448, y + thick * 0.6), fill=(*p.second, 255), width=5)
    return sprite


def shirt(d: Drawing, pose: Pose) -> Image.Image:
    """Draw a T-shirt laid flat, with a chest print or an all-over pattern."""
    sprite, p, x = new_sprite(), d.label.palette, CENTRE_X
    w, sleeve, long = d.span(0, 122, 144), d.span(1, 60, 84), d.span(2, 540, 600)
    half = [
        (x + 56.0, 92.0),
        (x + w + 8, 122.0),
        (x + w + sleeve, 246.0 + d.span(3, 0, 60)),
        (x + w + sleeve - 62, 282.0 + d.span(3, 0, 60)),
        (x + w, 222.0),
        (x + w + 4, long),
    ]
    outline = [(2 * x - a, b) for a, b in half]
    path = [*half, *reversed(outline)]
    smooth: list[Point] = []
    for (ax, ay), (bx, by) in zip(path, [*path[1:], path[0]], strict=True):
        smooth += [(ax + (bx - ax) * t, ay + (by - ay) * t) for t in (0.04, 0.5, 0.96)]
    smooth[-1:] = [(x - 40, 96.0)]
    neck = [(x - 44, 118.0), (x - 20, 138.0), (x, 143.0), (x + 20, 138.0), (x + 44, 118.0)]
    back = spline([(x - 58, 92.0), (x, 80.0), (x + 58, 92.0), (x + 40, 140.0), (x - 40, 140.0)])
    puffed(sprite, turned_by(back, pose), mix(p.base, (0, 0, 0), 0.45), pose, puff_px=6)
    overall = d.variant % 2 == 1
    cloth = (
        fabric(d, (int(2 * (w + sleeve)), int(long - 92)), 0.7)
        if overall
        else Image.new("RGB", (int(2 * (w + sleeve)), int(long - 92)), p.base)
    )
    puffed(
        sprite,
        turned_by([*smooth[:-1], (x - 56, 92.0), *neck], pose),
        cloth,
        pose,
        puff_px=18,
        relief=1.0,
        wrinkles=d.seed,
    )
    pen = ImageDraw.Draw(sprite)
    pen.line(
        turned_by([(x - 56, 92.0), *neck, (x + 56, 92.0)], pose),
        fill=(*(d.trim if d.variant % 3 else mix(p.base, (0, 0, 0), 0.2)), 255),
        width=9,
        joint="curve",
    )
    if overall:
        draw_icon(pen, d.label.icon, x + 62, 220, 22, p.paper, p.ink)
    else:
        wide, high = (150, 150) if d.variant % 4 == 0 else (190, 110)
        panel = pattern_tile(d.label.pattern, (wide, high), 26, p.accent, p.second, p.paper)
        mask = Image.new("L", (wide, high), 0)
        corner = wide / 2 if wide == high else 12
        ImageDraw.Draw(mask).rounded_rectangle((0, 0, wide - 1, high - 1), corner, fill=255)
        draw_icon(ImageDraw.Draw(panel), d.label.icon, wide / 2, high / 2, high * 0.3, p.base, p.paper)
        sprite.paste(panel, (int(x - wide / 2), 226), mask)
        y = 226.0 + high + 12
        fit_text(pen, (x - 92, y, x + 92, y + 46), d.label.brand, p.text_on(p.base), weight=1)
    return sprite


def cap(d: Drawing, pose: Pose) -> Image.Image:
    """Draw a baseball cap or a beanie with an emblem."""
    sprite, p, x = new_sprite(), d.label.palette, CENTRE_X
    w, y, high = d.span(0, 150, 178), 500.0, d.span(1, 190, 240)
    knit = d.variant % 2 == 1
    if knit:
        high += 60
    dome = [
        (x - w, y),
        (x - w * 0.97, y - high * 0.45),
        (x - w * 0.62, y - high * 0.88),
        (x, y - high),
        (x + w * 0.62, y - high * 0.88),
        (x + w * 0.97, y - high * 0.45),
        (x + w, y),
        (x, y + 14),
    ]
    if knit and d.variant % 4 == 1:
        ball = [
            (x - 46, y - high - 10),
            (x, y - high - 58),
            (x + 46, y - high - 10),
            (x, y - high + 34),
        ]
        puffed(sprite, spline(ball), d.trim, pose, puff_px=18, wrinkles=d.seed + 1, relief=1.5)
    puffed(
        sprite,
        turned_by(spline(dome, 10), pose),
        fabric(d, (int(2 * w), int(high)), 0.8),
        pose,
        puff_px=44,
        relief=1.2,
        wrinkles=d.seed if knit else None,
    )
    pen = ImageDraw.Draw(sprite)
    if knit:
        cuff = [(x - w - 8, y - 60), (x + w + 8, y - 60), (x + w + 8, y + 26), (x - w - 8, y + 26)]
        ribs = Image.new("RGB", (360, 86), d.trim)
        for k in range(0, 360, 12):
            ImageDraw.Draw(ribs).rectangle((k, 0, k + 4, 86), fill=mix(d.trim, (0, 0, 0), 0.22))
        puffed(sprite, turned_by(spline(cuff, 10), pose), ribs, pose, puff_px=16)
        spot = (x, y - 18.0, 30.0)
    else:
        seam = (*mix(p.base, (0, 0, 0), 0.3), 255)
        for bend in (-0.62, 0.0, 0.62):
            a, b = sorted((x + bend * w * 1.25, x))
            if bend:
                pen.arc(
                    (a - 2, y - high, b + abs(bend) * w, y + high)
                    if bend < 0
                    else (a - bend * w, y - high, b + 2, y + high),
                    180 if bend < 0 else 270,
                    270 if bend < 0 else 360,
                    fill=seam,
                    width=3,
                )
        pen.ellipse((x - 12, y - high - 7, x + 12, y - high + 9), fill=(*d.trim, 255))
        shift = 40 if pose.yaw >= 0 else -40
        visor = [
            (x - w * 0.98, y - 22),
            (x, y - 44),
            (x + w * 0.98, y - 22),
            (x + w * 0.9 + shift, y + 52),
            (x + shift, y + 84),
            (x - w * 0.9 + shift, y + 52),
        ]
        puffed(sprite, spline(visor, 10), d.trim, pose, puff_px=20, gloss=0.15)
        spot = (x, y - high * 0.5, 42.0)
    pen.ellipse(
        (
            spot[0] - spot[2] * 1.3,
            spot[1] - spot[2] * 1.3,
            spot[0] + spot[2] * 1.3,
            spot[1] + spot[2] * 1.3,
        ),
        fill=(*p.paper, 255),
    )
    draw_icon(pen, d.label.icon, *spot, p.mark_on(p.paper), p.ink)
    return sprite
