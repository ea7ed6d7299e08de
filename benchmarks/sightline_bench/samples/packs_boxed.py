"""Families with flat faces: carton, box, book and chair."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from .canvas import RGB, Pose, fit_text, mix, new_sprite, paste_quad, scaled_light
from .drawing import Drawing
from .icons import draw_icon
from .labels import render_label, small_print
from .patterns import pattern_tile
from .solids import boxed, face_light, project, sheen, turned


def _leaning(pose: Pose, yaw: float) -> Pose:
    return Pose(pose.yaw + yaw, pose.tilt, pose.light)


def _home_yaw(d: Drawing, amount: float) -> float:
    return amount if d.seed % 2 else -amount


def _quad(
    sprite: Image.Image,
    face: Image.Image,
    corners: list[tuple[float, float, float]],
    pose: Pose,
    light: float,
) -> None:
    paste_quad(sprite, scaled_light(face, light), project(np.asarray(corners, dtype=np.float64), pose))


def carton(d: Drawing, pose: Pose) -> Image.Image:
    """Draw a drink carton, gable-topped or flat with a screw cap."""
    sprite, pose = new_sprite(), _leaning(pose, _home_yaw(d, 0.42))
    w, depth = d.span(0, 170, 210), d.span(1, 120, 170)
    gable = d.variant % 2 == 0
    tall = d.span(2, 350, 430) if gable else d.span(2, 430, 510)
    front = render_label(d.label, (int(w * 1.3), int(tall * 1.3)))
    p = d.label.palette
    ground = p.paper if d.label.layout % 6 == 4 else p.base
    side = small_print((int(depth * 1.2), int(tall * 1.2)), ground, p.text_on(ground), d.seed)
    top = Image.new("RGB", (40, 40), mix(ground, (255, 255, 255), 0.2))
    boxed(sprite, (w, tall, depth), front, side, top, pose)
    x, z = w / 2, depth / 2
    if gable:
        peak = tall + depth * 0.55
        sx = -1.0 if pose.yaw > 0 else 1.0
        roof = Image.new("RGB", (int(w), 100), mix(ground, (255, 255, 255), 0.12))
        draw_icon(ImageDraw.Draw(roof), d.label.icon, w / 2, 52, 26, p.accent, p.ink)
        wing = Image.new("RGB", (40, 40), mix(ground, (0, 0, 0), 0.12))
        _quad(
            sprite,
            wing,
            [(sx * x, peak, 0), (sx * x, peak, 0.1), (sx * x, tall, -z), (sx * x, tall, z)],
            pose,
            face_light((sx, 0.2, 0), pose),
        )
        _quad(
            sprite,
            roof,
            [(-x, peak, 2), (x, peak, 2), (x, tall, z), (-x, tall, z)],
            pose,
            face_light((0, 0.6, 0.8), pose),
        )
        fin = Image.new("RGB", (80, 20), mix(ground, (255, 255, 255), 0.3))
        _quad(
            sprite,
            fin,
            [(-x, peak + 34, 0), (x, peak + 34, 0), (x, peak, 0), (-x, peak, 0)],
            pose,
            face_light((0, 0, 1), pose),
        )
    else:
        cap_x, cap_y = project(np.asarray([(w * 0.2, tall, depth * 0.1)], dtype=np.float64), pose)[0]
        turned(
            sprite,
            [(cap_y - 26, 27.0), (cap_y + 2, 29.0)],
            d.trim,
            pose,
            gloss=0.4,
            centre_x=cap_x,
            lid=d.trim,
        )
    return sprite


def box(d: Drawing, pose: Pose) -> Image.Image:
    """Draw a cardboard box such as cereal, tea or a gadget comes in."""
    sprite, pose = new_sprite(), _leaning(pose, _home_yaw(d, 0.34))
    kind = d.variant % 3
    w = (d.span(0, 240, 300), d.span(0, 260, 320), d.span(0, 150, 190))[kind]
    tall = (d.span(1, 380, 470), d.span(1, 180, 250), d.span(1, 400, 480))[kind]
    depth = (d.span(2, 60, 100), d.span(2, 120, 180), d.span(2, 110, 150))[kind]
    p = d.label.palette
    front = render_label(d.label, (int(w * 1.15), int(tall * 1.15)))
    ground = p.paper if d.label.layout % 6 == 4 else p.base
    side = small_print((int(depth), int(tall)), ground, p.text_on(ground), d.seed)
    top = Image.new("RGB", (int(w), int(max(depth, 30))), ground)
    fit_text(
        ImageDraw.Draw(top),
        (w * 0.15, depth * 0.15, w * 0.85, depth * 0.85),
        d.label.brand,
        p.text_on(ground),
        weight=1,
    )
    boxed(sprite, (w, tall, depth), front, side, top, pose)
    return sprite


def _cover(d: Drawing, w: int, h: int) -> Image.Image:
    p, kind = d.label.palette, d.variant % 3
    if kind == 0:
        return render_label(d.label, (w, h))
    face = pattern_tile(d.label.pattern, (w, h), int(d.label.step * w * 1.3), p.base, p.accent, p.second)
    pen = ImageDraw.Draw(face)
    if kind == 1:
        draw_icon(pen, d.label.icon, w / 2, h * 0.6, w * 0.26, p.second, p.paper)
        pen.rectangle((0, h * 0.08, w, h * 0.32), fill=p.paper)
        fit_text(pen, (w * 0.08, h * 0.1, w * 0.92, h * 0.22), d.label.brand, p.ink, weight=1)
        fit_text(pen, (w * 0.12, h * 0.235, w * 0.88, h * 0.3), d.label.word, p.ink)
    else:
        pen.rectangle((w * 0.14, h * 0.14, w * 0.86, h * 0.86), fill=p.ink)
        pen.rectangle((w * 0.17, h * 0.16, w * 0.83, h * 0.84), outline=p.accent, width=3)
        fit_text(pen, (w * 0.22, h * 0.24, w * 0.78, h * 0.38), d.label.brand, p.paper)
        draw_icon(pen, d.label.icon, w / 2, h * 0.55, w * 0.14, p.accent, p.base)
        fit_text(pen, (w * 0.24, h * 0.72, w * 0.76, h * 0.79), d.label.word, p.paper)
    return face


def book(d: Drawing, pose: Pose) -> Image.Image:
    """Draw a standing book: cover, spine or page block, and the paper edge on top."""
    sprite, pose = new_sprite(), _leaning(pose, _home_yaw(d, 0.38))
    w, tall, depth = d.span(0, 260, 320), d.span(1, 400, 470), d.span(2, 28, 70)
    p = d.label.palette
    pages = Image.new("RGB", (int(w), 48), (238, 232, 216))
    pen = ImageDraw.Draw(pages)
    for y in range(0, 48, 4):
        pen.line((0, y, w, y), fill=(206, 198, 180))
    if pose.yaw > 0:
        side = Image.new("RGB", (int(tall), 60), mix(p.base, (0, 0, 0), 0.15))
        fit_text(ImageDraw.Draw(side), (tall * 0.1, 8, tall * 0.7, 52), d.label.brand, p.text_on(p.base))
        side = side.transpose(Image.Transpose.ROTATE_270)
    else:
        side = pages.transpose(Image.Transpose.ROTATE_90)
    cover = sheen(_cover(d, int(w * 1.2), int(tall * 1.2)), pose)
    ImageDraw.Draw(cover).line((16, 0, 16, cover.height), fill=mix(p.base, (0, 0, 0), 0.4), width=3)
    boxed(sprite, (w, tall, depth), cover, side, pages, pose)
    return sprite


def chair(d: Drawing, pose: Pose) -> Image.Image:
    """Draw a chair with four legs, a patterned seat cushion and a slatted or padded back."""
    sprite, pose = new_sprite(), Pose(pose.yaw + _home_yaw(d, 0.5), pose.tilt + 0.12, pose.light)
    w, depth, seat, tall = (
        d.span(0, 200, 250),
        d.span(1, 190, 230),
        d.span(2, 200, 240),
        d.span(3, 450, 500),
    )
    p, wood = d.label.palette, d.trim
    x, z, t = w / 2, depth / 2, 13.0
    fabric = pattern_tile(d.label.pattern, (260, 260), int(260 * d.label.step), p.base, p.accent, p.second)

    def bar(cx: float, cz: float, low: float, high: float, half: float = t) -> None:
        _slab(sprite, (cx - half, cx + half), (low, high), (cz - half, cz + half), wood, pose)

    order = sorted(
        ((-x + t, -z + t), (x - t, -z + t), (-x + t, z - t), (x - t, z - t)),
        key=lambda c: _nearness(c, pose),
    )
    for cx, cz in order:
        bar(cx, cz, 0.0, seat)
    back: list[tuple[float, float]] = [(-x + t, -z + t), (x - t, -z + t)]
    for cx, cz in sorted(back, key=lambda c: _nearness(c, pose)):
        bar(cx, cz, seat, tall)
    if d.variant % 2:
        _slab(sprite, (-x + 2 * t, x - 2 * t), (seat + 60, tall - 6), (-z, -z + 22), fabric, pose)
    else:
        for k in range(3):
            low = seat + 70 + k * (tall - seat - 80) / 3
            _slab(sprite, (-x + t, x - t), (low, low + 40), (-z + 4, -z + 18), wood, pose)
    _slab(sprite, (-x, x), (seat, seat + 14), (-z, z), wood, pose)
    _slab(sprite, (-x + 6, x - 6), (seat + 14, seat + 40), (-z + 22, z - 4), fabric, pose)
    return sprite


def _nearness(corner: tuple[float, float], pose: Pose) -> float:
    return float(-corner[0] * np.sin(pose.yaw) + corner[1] * np.cos(pose.yaw))


def _slab(
    sprite: Image.Image,
    xs: tuple[float, float],
    ys: tuple[float, float],
    zs: tuple[float, float],
    skin: Image.Image | RGB,
    pose: Pose,
) -> None:
    face = skin if isinstance(skin, Image.Image) else Image.new("RGB", (8, 8), skin)
    (x0, x1), (y0, y1), (z0, z1) = xs, ys, zs
    sx, normal = (x0, -1.0) if pose.yaw > 0 else (x1, 1.0)
    a, b = (z0, z1) if pose.yaw > 0 else (z1, z0)
    strip = face if face.width < 20 else face.crop((0, 0, face.width, 40))
    _quad(
        sprite,
        face,
        [(x0, y1, z0), (x1, y1, z0), (x1, y1, z1), (x0, y1, z1)],
        pose,
        face_light((0, 1, 0), pose) * 1.08,
    )
    _quad(
        sprite,
        strip,
        [(sx, y1, a), (sx, y1, b), (sx, y0, b), (sx, y0, a)],
        pose,
        face_light((normal, 0, 0), pose) * 0.9,
    )
    front = face if y1 - y0 > 60 else strip
    _quad(
        sprite,
        front,
        [(x0, y1, z1), (x1, y1, z1), (x1, y0, z1), (x0, y0, z1)],
        pose,
        face_light((0, 0, 1), pose),
    )
