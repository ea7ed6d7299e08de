"""Shaded solids: turned bodies, boxes and puffed cut-outs, painted onto RGBA sprites."""

from __future__ import annotations

from collections.abc import Sequence
from math import cos, sin, sqrt

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from .canvas import (
    CENTRE_X,
    GROUND_Y,
    RGB,
    Floats,
    Point,
    Pose,
    field,
    mix,
    paste_quad,
    scaled_light,
)
from .labels import WRAP_SPAN

_U = np.linspace(-1.0, 1.0, 1024, dtype=np.float32)
_DEPTH = np.sqrt(1.0 - _U * _U)
_ANGLE = np.arcsin(_U)


def _cylinder_light(light: float, gloss: float) -> tuple[Floats, Floats]:
    """Return the diffuse factor and the added highlight (0..255) over u in -1..1, (1024,) each."""
    facing = np.clip(_U * light + _DEPTH * sqrt(1.0 - light * light), 0.0, 1.0)
    diffuse = 0.36 + 0.70 * facing
    diffuse *= 0.78 + 0.22 * np.clip(_DEPTH * 2.2, 0.0, 1.0)
    centre = light * 0.95
    strip = np.exp(-(((_U - centre) / 0.085) ** 4)) + 0.35 * np.exp(-(((_U - centre) / 0.3) ** 2))
    rim = 0.55 * np.exp(-(((_U + np.sign(light) * 0.86) / 0.06) ** 2))
    shine = 255.0 * gloss * (0.55 * strip + rim)
    return diffuse.astype(np.float32), shine.astype(np.float32)


def turned(
    sprite: Image.Image,
    profile: Sequence[Point],
    texture: Image.Image | RGB,
    pose: Pose,
    *,
    gloss: float = 0.3,
    centre_x: float = CENTRE_X,
    rounding_px: int = 9,
    lid: RGB | None = None,
) -> None:
    """Paint a body of revolution; profile is (y px, radius px) from top to bottom."""
    knots_y = [p[0] for p in profile]
    top, bottom = knots_y[0], knots_y[-1]
    reach = max(p[1] for p in profile)
    rows = np.arange(int(top), int(bottom + pose.tilt * reach) + 2, dtype=np.float32)
    radius = np.interp(rows, knots_y, [p[1] for p in profile]).astype(np.float32)
    if rounding_px > 1:
        padded = np.pad(radius, rounding_px // 2, mode="edge")
        radius = np.convolve(padded, np.ones(rounding_px) / rounding_px, "valid").astype(np.float32)
        radius = radius[: len(rows)]
    left = int(centre_x - reach) - 1
    columns = np.arange(left, int(centre_x + reach) + 2, dtype=np.float32) - centre_x
    across = columns[None, :] / radius[:, None]
    index = ((np.clip(across, -1.0, 1.0) + 1.0) * 511.5).astype(np.int32)
    source = rows[:, None] - (pose.tilt * radius)[:, None] * _DEPTH[index]
    diffuse, shine = _cylinder_light(pose.light, gloss)
    if isinstance(texture, Image.Image):
        pixels = np.asarray(texture, dtype=np.uint8)
        high, wide = pixels.shape[:2]
        turn = (_ANGLE - pose.yaw + WRAP_SPAN) * (wide / (2 * WRAP_SPAN))
        column = np.clip(turn, 0, wide - 1).astype(np.int32)[index]
        row = np.clip((source - top) * (high / (bottom - top)), 0, high - 1).astype(np.int32)
        colour = pixels.reshape(-1, 3)[row * wide + column].astype(np.float32)
    else:
        colour = np.broadcast_to(np.asarray(texture, dtype=np.float32), (*index.shape, 3))
    lit = colour * diffuse[index][..., None]
    lit += shine[index][..., None]
    alpha = np.clip(radius[:, None] - np.abs(columns)[None, :] + 0.5, 0.0, 1.0)
    alpha *= np.clip(source - top + 0.5, 0.0, 1.0) * np.clip(bottom - source + 0.5, 0.0, 1.0)
    patch = np.empty((*index.shape, 4), dtype=np.uint8)
    patch[..., :3] = np.minimum(lit, 255.0)
    patch[..., 3] = alpha * 255.0
    if lid is not None:
        disc(sprite, centre_x, top, profile[0][1], pose, lid)
    _compose(sprite, Image.fromarray(patch), left, int(rows[0]))


def _compose(sprite: Image.Image, patch: Image.Image, left: int, top: int) -> None:
    crop_left, crop_top = max(0, -left), max(0, -top)
    if crop_left or crop_top:
        patch = patch.crop((crop_left, crop_top, patch.width, patch.height))
    sprite.alpha_composite(patch, (left + crop_left, top + crop_top))


def disc(sprite: Image.Image, x: float, y: float, r: float, pose: Pose, colour: RGB) -> None:
    """Paint the top of a turned body: an ellipse with a lighter rim."""
    pen, b = ImageDraw.Draw(sprite), r * pose.tilt
    pen.ellipse((x - r, y - b, x + r, y + b), fill=(*mix(colour, (255, 255, 255), 0.35), 255))
    pen.ellipse((x - r * 0.93, y - b * 0.88, x + r * 0.93, y + b * 0.9), fill=(*colour, 255))


def project(points: NDArray[np.float64], pose: Pose, distance_px: float = 1500.0) -> list[Point]:
    """Return sprite px of (n, 3) points (x right, y up, z nearer, px)."""
    x = points[:, 0] * cos(pose.yaw) + points[:, 2] * sin(pose.yaw)
    z = -points[:, 0] * sin(pose.yaw) + points[:, 2] * cos(pose.yaw)
    level = sqrt(1.0 - pose.tilt * pose.tilt)
    y = points[:, 1] * level - z * pose.tilt
    near = distance_px / (distance_px - z * level - points[:, 1] * pose.tilt)
    return [(CENTRE_X + float(a), GROUND_Y - float(b)) for a, b in zip(x * near, y * near, strict=True)]


def face_light(normal: tuple[float, float, float], pose: Pose) -> float:
    """Return the brightness factor of a flat face with this normal (before yaw)."""
    nx = normal[0] * cos(pose.yaw) + normal[2] * sin(pose.yaw)
    nz = -normal[0] * sin(pose.yaw) + normal[2] * cos(pose.yaw)
    facing = (nx * pose.light + normal[1] * 0.6 + nz * 0.8) / sqrt(pose.light**2 + 1.0)
    return 0.62 + 0.50 * max(0.0, facing)


def boxed(
    sprite: Image.Image,
    size: tuple[float, float, float],
    front: Image.Image,
    side: Image.Image,
    top: Image.Image,
    pose: Pose,
) -> None:
    """Paint a box of size (width, height, depth) px standing on the ground, three faces textured."""
    w, h, d = size[0] / 2, size[1], size[2] / 2
    sx = -1.0 if pose.yaw > 0 else 1.0
    faces = [
        (top, (0.0, 1.0, 0.0), [(-w, h, -d), (w, h, -d), (w, h, d), (-w, h, d)]),
        (
            side,
            (sx, 0.0, 0.0),
            [(sx * w, h, sx * d), (sx * w, h, -sx * d), (sx * w, 0, -sx * d), (sx * w, 0, sx * d)],
        ),
        (front, (0.0, 0.0, 1.0), [(-w, h, d), (w, h, d), (w, 0, d), (-w, 0, d)]),
    ]
    for picture, normal, corners in faces:
        lit = sheen(scaled_light(picture, face_light(normal, pose)), pose)
        paste_quad(sprite, lit, project(np.asarray(corners, dtype=np.float64), pose))


def sheen(picture: Image.Image, pose: Pose) -> Image.Image:
    """Return picture with a faint light fall-off from the lit corner, RGB."""
    lit, dim = (255, 222) if pose.light < 0 else (222, 255)
    ramp = Image.fromarray(np.asarray([[lit, dim], [lit - 16, dim - 22]], dtype=np.uint8))
    shade = ramp.resize(picture.size, Image.Resampling.BILINEAR)
    return Image.composite(picture, Image.new("RGB", picture.size, (24, 24, 34)), shade)


def puffed(
    sprite: Image.Image,
    outline: Sequence[Point],
    texture: Image.Image | RGB,
    pose: Pose,
    *,
    puff_px: float = 16.0,
    relief: float = 1.0,
    gloss: float = 0.0,
    wrinkles: int | None = None,
) -> None:
    """Paint a pillow-like cut-out: texture fills the outline's bounding box; wrinkles is a seed."""
    xs, ys = [p[0] for p in outline], [p[1] for p in outline]
    left, top = int(min(xs)) - 2, int(min(ys)) - 2
    w, h = int(max(xs)) + 3 - left, int(max(ys)) + 3 - top
    mask = Image.new("L", (w, h), 0)
    ImageDraw.Draw(mask).polygon([(x - left, y - top) for x, y in outline], fill=255)
    quarter = (max(4, w // 4), max(4, h // 4))
    small = mask.resize(quarter, Image.Resampling.BOX)
    height = np.asarray(small.filter(ImageFilter.GaussianBlur(puff_px / 4)), dtype=np.float32)
    height = height * (puff_px / 255.0 / 4.0)
    if wrinkles is not None:
        rng = np.random.default_rng(wrinkles)
        folds = field(rng, (6, 9), quarter)
        height = height + np.asarray(folds, dtype=np.float32) * (puff_px / 900.0)
    dy, dx = np.gradient(height)
    slope = relief * (-dx * pose.light * 1.6 + dy * 0.7)
    shade = 0.93 - 0.42 * np.clip(-slope * 1.0, -0.6, 1.1) - 0.10 * relief * (dx * dx + dy * dy)
    shine = gloss * 150.0 * np.exp(-(((slope - 0.42) / 0.16) ** 2))
    maps = np.stack([np.clip(shade, 0.25, 1.27) * 200.0, np.clip(shine, 0, 255), 0 * shade], -1)
    full = Image.fromarray(maps.astype(np.uint8)).resize((w, h), Image.Resampling.BICUBIC)
    light = np.asarray(full, dtype=np.float32)
    if isinstance(texture, Image.Image):
        fitted = texture if texture.size == (w, h) else texture.resize((w, h), Image.Resampling.BILINEAR)
        colour = np.asarray(fitted, dtype=np.float32)
    else:
        colour = np.broadcast_to(np.asarray(texture, dtype=np.float32), (h, w, 3))
    lit = colour * (light[..., :1] * (1.0 / 200.0)) + light[..., 1:2]
    patch = np.empty((h, w, 4), dtype=np.uint8)
    patch[..., :3] = np.minimum(lit, 255.0)
    patch[..., 3] = np.asarray(mask.filter(ImageFilter.BoxBlur(0.8)))
    _compose(sprite, Image.fromarray(patch), left, top)
