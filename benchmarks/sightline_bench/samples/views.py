"""The two kinds of picture of an item: the studio view and the phone view."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from .backgrounds import backdrop
from .camera import jittered_quad, motion, photograph
from .canvas import RGB, Point, Pose, SampleError, mix, paste_quad
from .hands import add_hand
from .items import SampleItem
from .palette import COLOURS
from .sprites import FLAT, render_sprite

MIN_SIDE_PX = 32


def checked_size(size_px: tuple[int, int]) -> tuple[int, int]:
    """Return size_px, or raise SampleError where a side is under 32 px."""
    if min(size_px) < MIN_SIDE_PX:
        raise SampleError(f"expected sides of at least {MIN_SIDE_PX} px, got {size_px}")
    return size_px


def _grey(alpha: Image.Image, strength: float) -> Image.Image:
    return alpha.point([int(255 - strength * v) for v in range(256)])


def _ground_shadow(size: tuple[int, int], box: tuple[float, float, float, float]) -> Image.Image:
    """Return a soft contact shadow under box as an L multiplier of size px."""
    small = (size[0] // 4, size[1] // 4)
    x0, _, x1, y1 = (v / 4 for v in box)
    mask = Image.new("L", small, 0)
    wide = x1 - x0
    pen = ImageDraw.Draw(mask)
    pen.ellipse((x0 - wide * 0.10, y1 - wide * 0.10, x1 + wide * 0.16, y1 + wide * 0.07), fill=110)
    mask = mask.filter(ImageFilter.GaussianBlur(5))
    core = Image.new("L", small, 0)
    ImageDraw.Draw(core).ellipse((x0 + wide * 0.04, y1 - wide * 0.05, x1 - wide * 0.02, y1 + wide * 0.022), fill=190)
    both = ImageChops.lighter(mask, core.filter(ImageFilter.GaussianBlur(1.6)))
    return _grey(both, 0.75).resize(size, Image.Resampling.BICUBIC)


def _cast_shadow(alpha: Image.Image, shift: Point, blur_px: float, strength: float) -> Image.Image:
    """Return the blurred, moved silhouette of an L alpha as a multiplier at quarter size."""
    size = alpha.size
    small = alpha.resize((size[0] // 4, size[1] // 4), Image.Resampling.BOX)
    moved = Image.new("L", small.size, 0)
    moved.paste(small, (round(shift[0] / 4), round(shift[1] / 4)))
    moved = moved.filter(ImageFilter.GaussianBlur(blur_px / 4))
    return _grey(moved, strength)


def _darken(scene: Image.Image, multiplier: Image.Image) -> Image.Image:
    return ImageChops.multiply(scene, Image.merge("RGB", (multiplier, multiplier, multiplier)))


def _studio_ground(rng: np.random.Generator, size: int) -> Image.Image:
    tones = tuple(COLOURS.values())
    tint: RGB = mix((248, 248, 247), tones[int(rng.integers(len(tones)))], float(rng.uniform(0, 0.05)))
    low = mix(tint, (0, 0, 0), 0.07)
    column = Image.new("RGB", (1, 4))
    for y, colour in enumerate((tint, tint, low, tint)):
        column.putpixel((0, y), colour)
    smooth = column.resize((1, size), Image.Resampling.BICUBIC)
    return smooth.resize((size, size), Image.Resampling.NEAREST)


def studio_view(item: SampleItem, size_px: int = 320) -> Image.Image:
    """Return the catalogue picture of item: RGB, size_px square, light ground and soft shadow."""
    checked_size((size_px, size_px))
    rng = np.random.default_rng([item.seed, 1])
    sprite = render_sprite(item.drawing, Pose())
    box = sprite.getchannel("A").getbbox() or (0, 0, *sprite.size)
    sprite = sprite.crop(box)
    w, h = sprite.size
    side = int(max(w, h) * float(rng.uniform(1.14, 1.26)))
    left, top = (side - w) // 2, (side - h) // 2
    scene = _studio_ground(rng, side)
    if item.category in FLAT:
        alpha = Image.new("L", (side, side), 0)
        alpha.paste(sprite.getchannel("A"), (left, top))
        scene = _darken(scene, _cast_shadow(alpha, (9, 14), 14, 0.4).resize(scene.size))
    else:
        scene = _darken(scene, _ground_shadow((side, side), (left, top, left + w, top + h)))
    scene.paste(sprite, (left, top), sprite)
    return scene.resize((size_px, size_px), Image.Resampling.HAMMING)


def _place(rng: np.random.Generator, sprite: Image.Image, size: tuple[int, int], difficulty: float) -> list[Point]:
    """Return the quad where the cropped sprite lands in a frame of size px."""
    w, h = sprite.size
    cover = float(rng.uniform(0.82 - 0.32 * difficulty, 0.92))
    scale = min(size[0] * cover / w, size[1] * cover / h)
    roll = float(rng.normal(0.0, 0.06 + 0.34 * difficulty))
    roll = float(np.clip(roll, -0.9, 0.9))
    slack = 0.04 + 0.12 * difficulty
    centre = (
        size[0] * (0.5 + float(rng.uniform(-slack, slack))),
        size[1] * (0.5 + float(rng.uniform(-slack, slack))),
    )
    return jittered_quad(rng, centre, (w * scale, h * scale), roll, 0.02 + 0.09 * difficulty)


def phone_view(
    item: SampleItem,
    view_seed: int,
    *,
    size_px: tuple[int, int] = (480, 640),
    difficulty: float = 0.5,
) -> Image.Image:
    """Return a phone photograph of item: RGB of size_px (width, height), difficulty in 0..1."""
    size = checked_size(size_px)
    if not 0.0 <= difficulty <= 1.0:
        raise SampleError(f"expected a difficulty in 0..1, got {difficulty}")
    rng = np.random.default_rng([item.seed, 2, view_seed])
    swing = 0.12 + 0.5 * difficulty
    pose = Pose(
        yaw=float(rng.uniform(-swing, swing)),
        tilt=0.10 + float(rng.uniform(-0.05, 0.14)) * (0.3 + difficulty),
        light=float(rng.uniform(0.15, 0.7)) * (1 if rng.random() < 0.4 else -1),
    )
    sprite = render_sprite(item.drawing, pose)
    sprite = sprite.crop(sprite.getchannel("A").getbbox() or (0, 0, *sprite.size))
    quad = _place(rng, sprite, size, difficulty)
    layer = Image.new("RGBA", size, (0, 0, 0, 0))
    paste_quad(layer, sprite, quad, Image.Resampling.BILINEAR)
    scene = backdrop(rng, size)
    throw = float(rng.uniform(0.015, 0.05)) * size[1]
    shift = (-float(np.sign(pose.light)) * throw, throw * float(rng.uniform(0.2, 0.9)))
    alpha = layer.getchannel("A")
    wide = _cast_shadow(alpha, shift, float(rng.uniform(8, 26)), float(rng.uniform(0.35, 0.65)))
    close = _cast_shadow(alpha, (shift[0] * 0.2, 3), 5, 0.45)
    scene = _darken(scene, ImageChops.multiply(wide, close).resize(size, Image.Resampling.BILINEAR))
    scene.paste(layer, (0, 0), layer)
    if rng.random() < 0.12 + 0.3 * difficulty:
        held = scene.convert("RGBA")
        middle = (sum(p[0] for p in quad) / 4, sum(p[1] for p in quad) / 4)
        add_hand(held, rng, middle, difficulty)
        scene = held.convert("RGB")
    if rng.random() < 0.35 * difficulty:
        scene = _person_shadow(scene, rng)
    return photograph(scene, rng, difficulty)


def _person_shadow(scene: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Return scene under the large soft shadow of whoever holds the phone."""
    w, h = scene.size
    mask = Image.new("L", (w // 8, h // 8), 0)
    x, lean = float(rng.uniform(0, w / 8)), float(rng.uniform(-20, 20))
    points = [(x - 12, h / 8), (x - 6 + lean, h / 24), (x + 14 + lean, h / 28), (x + 26, h / 8)]
    ImageDraw.Draw(mask).polygon(points, fill=255)
    mask = mask.filter(ImageFilter.GaussianBlur(2.5)).resize((w, h), Image.Resampling.BICUBIC)
    return _darken(scene, _grey(mask, float(rng.uniform(0.2, 0.5))))


def blurred(image: Image.Image, seed: int = 0) -> Image.Image:
    """Return image badly smeared by hand motion and defocus, RGB of the same size."""
    rng = np.random.default_rng([seed, 3])
    rgb, side = image.convert("RGB"), max(image.size)
    smeared = motion(rgb, side * float(rng.uniform(0.07, 0.13)), float(rng.uniform(0, np.pi)))
    return smeared.filter(ImageFilter.GaussianBlur(side * float(rng.uniform(0.007, 0.013))))
