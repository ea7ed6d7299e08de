"""A hand-like shape that reaches into the frame and covers a little of the product."""

from __future__ import annotations

from math import cos, sin

import numpy as np
from PIL import Image, ImageDraw

from .canvas import RGB, Point, Pose, mix
from .solids import puffed

_SKINS: tuple[RGB, ...] = (
    (238, 196, 168),
    (222, 170, 136),
    (188, 132, 96),
    (142, 96, 68),
    (92, 62, 46),
)


def _capsule(x: float, y: float, angle: float, length: float, r: float) -> list[Point]:
    """Return the outline of a finger from (x, y), as points in px."""
    across, along = (-sin(angle), cos(angle)), (cos(angle), sin(angle))
    near = [(x + s * r * across[0], y + s * r * across[1]) for s in (1.0, -1.0)]
    turns = np.linspace(-np.pi / 2, np.pi / 2, 9)
    cap = [
        (
            x + (length + r * float(np.cos(t))) * along[0] + r * 0.92 * float(np.sin(t)) * across[0],
            y + (length + r * float(np.cos(t))) * along[1] + r * 0.92 * float(np.sin(t)) * across[1],
        )
        for t in turns
    ]
    return [near[1], *cap, near[0]]


def add_hand(scene: Image.Image, rng: np.random.Generator, target: Point, reach: float) -> None:
    """Paint fingers onto an RGBA scene in place, from one side towards target (px), reach in 0..1."""
    w, h = scene.size
    skin = _SKINS[int(rng.integers(len(_SKINS)))]
    right = bool(rng.random() < 0.5)
    x = (w + 30.0) if right else -30.0
    y = target[1] + float(rng.uniform(0.0, 0.18)) * h
    r = float(rng.uniform(0.042, 0.055)) * w
    aim = float(np.pi if right else 0.0) + float(rng.uniform(-0.35, 0.35))
    depth = max(40.0, abs(target[0] - x) - w * (0.26 - 0.14 * reach))
    pose = Pose(light=-0.45)
    layer = Image.new("RGBA", scene.size, (0, 0, 0, 0))
    for k in (3, 0, 2, 1):
        length = depth * (0.84, 1.0, 0.97, 0.78)[k]
        base_y = y + (k - 1.5) * r * 1.75
        tone = mix(skin, (90, 40, 30), 0.05 * k)
        puffed(
            layer,
            _capsule(x, base_y, aim + (k - 1.5) * 0.03, length, r),
            tone,
            pose,
            puff_px=r * 0.9,
            relief=1.1,
        )
        side = 1.0 if right else -1.0
        tip = (
            x + length * cos(aim + (k - 1.5) * 0.03),
            base_y + length * sin(aim + (k - 1.5) * 0.03),
        )
        nail = mix(skin, (255, 226, 220), 0.5)
        box = (
            tip[0] - side * r * 0.1 - r * 0.5,
            tip[1] - r * 0.42,
            tip[0] - side * r * 0.1 + r * 0.5,
            tip[1] + r * 0.42,
        )
        ImageDraw.Draw(layer).ellipse(box, fill=(*nail, 255))
    scene.alpha_composite(layer)
