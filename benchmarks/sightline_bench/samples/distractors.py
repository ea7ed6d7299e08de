"""Pictures that show no product: queries to be answered with 'no visual match'."""

from __future__ import annotations

from collections.abc import Callable
from math import pi, sin

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from .camera import photograph
from .canvas import RGB, Pose, field, font, mix, spline
from .palette import COLOURS
from .solids import puffed
from .views import checked_size

Scene = Callable[[np.random.Generator, int, int], Image.Image]


def _sky(w: int, h: int, top: RGB, low: RGB) -> Image.Image:
    column = Image.new("RGB", (1, 2), top)
    column.putpixel((0, 1), low)
    return column.resize((w, h), Image.Resampling.BILINEAR)


def _ridge(rng: np.random.Generator, w: int, y: float, high: float) -> list[tuple[float, float]]:
    phase, pace = rng.uniform(0, 2 * pi, 3), rng.uniform(0.6, 2.2, 3)
    xs = np.arange(0, w + 8, 8)
    line = y - high * sum(np.sin(xs / w * 2 * pi * pace[k] + phase[k]) / (k + 1.5) for k in range(3))
    return [(float(a), float(b)) for a, b in zip(xs, line, strict=True)]


def _landscape(rng: np.random.Generator, w: int, h: int) -> Image.Image:
    dusk = float(rng.random())
    scene = _sky(w, h, mix((70, 138, 220), (84, 60, 120), dusk), mix((222, 236, 246), (252, 176, 104), dusk))
    pen = ImageDraw.Draw(scene)
    x, y, r = (
        float(rng.uniform(0.1, 0.9)) * w,
        float(rng.uniform(0.1, 0.3)) * h,
        float(rng.uniform(0.05, 0.09)) * w,
    )
    pen.ellipse((x - r, y - r, x + r, y + r), fill=(255, 244, 196))
    for _ in range(int(rng.integers(2, 6))):
        cx, cy = float(rng.uniform(0, w)), float(rng.uniform(0.05, 0.35)) * h
        for k in range(5):
            s = float(rng.uniform(0.03, 0.07)) * w
            pen.ellipse((cx + k * s - s, cy - s * 0.6, cx + k * s + s, cy + s * 0.6), fill=(246, 246, 250))
    scene = scene.filter(ImageFilter.GaussianBlur(w / 120))
    pen = ImageDraw.Draw(scene)
    far, near = mix((112, 138, 168), (150, 110, 130), dusk), mix((70, 120, 52), (44, 62, 50), dusk)
    for k in range(4):
        line = _ridge(rng, w, h * (0.48 + 0.12 * k), h * 0.07)
        pen.polygon([*line, (w + 9, h), (0, h)], fill=mix(far, near, k / 3))
    for _ in range(int(rng.integers(6, 16))):
        t = float(rng.uniform(0.62, 0.98))
        tx, ty, s = float(rng.uniform(0, w)), t * h, 0.16 * (t - 0.4) * h
        pen.rectangle((tx - s * 0.06, ty - s * 0.4, tx + s * 0.06, ty), fill=(84, 58, 38))
        green = mix((36, 84, 44), near, float(rng.random()) * 0.6)
        for k in range(3):
            pen.polygon(
                [
                    (tx, ty - s * (1.5 - k * 0.3)),
                    (tx + s * (0.3 + k * 0.1), ty - s * (0.85 - k * 0.28)),
                    (tx - s * (0.3 + k * 0.1), ty - s * (0.85 - k * 0.28)),
                ],
                fill=mix(green, (0, 0, 0), 0.1 * k),
            )
    return scene


def _animal(rng: np.random.Generator, w: int, h: int) -> Image.Image:
    fur = ((196, 132, 70), (120, 114, 110), (60, 56, 58), (226, 214, 196))[int(rng.integers(4))]
    scene = field(rng, (5, 7), (w, h)).convert("RGB")
    wall = list(COLOURS.values())[int(rng.integers(len(COLOURS)))]
    scene = Image.blend(scene, Image.new("RGB", (w, h), wall), 0.75).convert("RGBA")
    cx, cy, r = (
        w * float(rng.uniform(0.42, 0.58)),
        h * float(rng.uniform(0.42, 0.52)),
        w * float(rng.uniform(0.27, 0.34)),
    )
    pose, dark = Pose(), mix(fur, (0, 0, 0), 0.45)
    body = [
        (cx - r * 0.8, cy + r * 0.5),
        (cx + r * 0.8, cy + r * 0.5),
        (cx + r * 1.3, h + 20.0),
        (cx - r * 1.3, h + 20.0),
    ]
    puffed(scene, spline(body), fur, pose, puff_px=40, wrinkles=3)
    for s in (-1, 1):
        ear = [
            (cx + s * r * 0.95, cy - r * 0.25),
            (cx + s * r * 0.86, cy - r * 1.3),
            (cx + s * r * 0.2, cy - r * 0.8),
        ]
        puffed(scene, ear, fur, pose, puff_px=10)
        inner = [
            (cx + s * r * 0.84, cy - r * 0.5),
            (cx + s * r * 0.8, cy - r * 1.08),
            (cx + s * r * 0.4, cy - r * 0.78),
        ]
        puffed(scene, inner, (226, 160, 150), pose, puff_px=6)
    face = [
        (cx - r, cy + r * 0.1),
        (cx - r * 0.75, cy - r * 0.72),
        (cx, cy - r * 0.9),
        (cx + r * 0.75, cy - r * 0.72),
        (cx + r, cy + r * 0.1),
        (cx + r * 0.6, cy + r * 0.78),
        (cx, cy + r * 0.92),
        (cx - r * 0.6, cy + r * 0.78),
    ]
    puffed(scene, spline(face), fur, pose, puff_px=44)
    pen = ImageDraw.Draw(scene)
    for k in (-1, 0, 1):
        pen.line(
            (cx + k * r * 0.2, cy - r * 0.84, cx + k * r * 0.13, cy - r * 0.5),
            fill=dark,
            width=max(3, int(r * 0.07)),
        )
    iris = ((120, 176, 60), (220, 170, 40), (90, 160, 200))[int(rng.integers(3))]
    for s in (-1, 1):
        x, y, e = cx + s * r * 0.42, cy - r * 0.12, r * 0.2
        pen.ellipse((x - e, y - e, x + e, y + e), fill=iris, outline=(30, 26, 24), width=3)
        pen.ellipse((x - e * 0.35, y - e * 0.85, x + e * 0.35, y + e * 0.85), fill=(16, 14, 14))
        pen.ellipse((x - e * 0.5, y - e * 0.6, x - e * 0.1, y - e * 0.2), fill=(250, 250, 250))
        for k in range(3):
            pen.line(
                (
                    cx + s * r * 0.3,
                    cy + r * (0.42 + 0.06 * k),
                    cx + s * r * 1.25,
                    cy + r * (0.22 + 0.2 * k),
                ),
                fill=(240, 238, 232),
                width=2,
            )
        pen.ellipse(
            (
                cx + s * r * 0.2 - r * 0.24,
                cy + r * 0.26,
                cx + s * r * 0.2 + r * 0.24,
                cy + r * 0.66,
            ),
            fill=mix(fur, (255, 255, 255), 0.55),
        )
    pen.polygon(
        [(cx - r * 0.13, cy + r * 0.2), (cx + r * 0.13, cy + r * 0.2), (cx, cy + r * 0.36)],
        fill=(206, 110, 110),
    )
    return scene.convert("RGB")


def _skyline(rng: np.random.Generator, w: int, h: int) -> Image.Image:
    scene = _sky(w, h, (8, 10, 34), ((66, 50, 98), (24, 60, 96), (120, 62, 70))[int(rng.integers(3))])
    pen = ImageDraw.Draw(scene)
    for x, y, t in rng.random((140, 3)):
        pen.point((x * w, y * h * 0.6), fill=(int(150 + 100 * t),) * 3)
    mx, my, mr = float(rng.uniform(0.1, 0.85)) * w, float(rng.uniform(0.08, 0.25)) * h, w * 0.06
    pen.ellipse((mx - mr, my - mr, mx + mr, my + mr), fill=(244, 240, 214))
    for layer in range(3):
        x, tone = -10.0, mix((54, 58, 92), (10, 10, 18), layer / 2)
        while x < w:
            wide, top = (
                w * float(rng.uniform(0.06, 0.16)),
                h * (float(rng.uniform(0.35, 0.7)) + 0.08 * layer),
            )
            pen.rectangle((x, top, x + wide, h), fill=tone)
            lit = rng.random((int((h - top) / 14) + 1, int(wide / 11) + 1)) < 0.32
            for j, i in zip(*np.nonzero(lit), strict=True):
                wx, wy = x + 4 + 11 * int(i), top + 6 + 14 * int(j)
                if wx + 5 < x + wide - 2:
                    pen.rectangle(
                        (wx, wy, wx + 5, wy + 7),
                        fill=mix((252, 214, 120), tone, 0.5 - 0.25 * layer),
                    )
            x += wide + float(rng.uniform(0, 8))
    return scene


_SYLLABLES = (
    "la",
    "ren",
    "to",
    "mi",
    "sca",
    "vel",
    "or",
    "ni",
    "pa",
    "dur",
    "es",
    "tem",
    "quo",
    "in",
    "al",
    "be",
)


def _page(rng: np.random.Generator, w: int, h: int) -> Image.Image:
    scene = Image.new("RGB", (w, h), mix((250, 248, 242), (226, 214, 188), float(rng.random())))
    pen, size = ImageDraw.Draw(scene), max(2, int(w * float(rng.uniform(0.030, 0.042))))
    margin, y = w * 0.09, h * 0.07
    pen.text(
        (margin, y),
        "Chapter " + str(int(rng.integers(1, 40))),
        fill=(30, 28, 30),
        font=font(size * 2),
    )
    y += size * 3.4
    while y < h * 0.94:
        x, end = margin, w - margin if rng.random() > 0.16 else w * 0.6
        while True:
            word = "".join(_SYLLABLES[int(k)] for k in rng.integers(0, len(_SYLLABLES), int(rng.integers(1, 4))))
            wide = font(size).getlength(word + " ")
            if x + wide > end:
                break
            pen.text((x, y), word, fill=(40, 38, 40), font=font(size))
            x += wide
        y += size * 1.5
    return scene.rotate(float(rng.normal(0, 3)), Image.Resampling.BICUBIC, fillcolor=(120, 112, 104))


def _abstract(rng: np.random.Generator, w: int, h: int) -> Image.Image:
    tones = list(COLOURS.values())
    a, b, c, d = (tones[int(k)] for k in rng.choice(len(tones), 4, replace=False))
    ys, xs = np.mgrid[0:h:2, 0:w:2].astype(np.float32)
    f = rng.uniform(0.008, 0.03, 4)
    wave = np.sin(xs * f[0] + 2.2 * np.sin(ys * f[1])) + np.sin(ys * f[2] + 2.0 * np.sin(xs * f[3]))
    level = np.digitize(wave, (-0.9, 0.0, 0.9))
    pixels = np.asarray((a, b, c, d), dtype=np.uint8)[level]
    return Image.fromarray(pixels).resize((w, h), Image.Resampling.BICUBIC)


def _plant(rng: np.random.Generator, w: int, h: int) -> Image.Image:
    ground = Image.merge("RGB", [field(rng, (6, 8), (w, h)) for _ in range(3)])
    leafy = Image.new("RGB", (w, h), (52, 96, 48))
    scene = Image.blend(ground, leafy, 0.72).filter(ImageFilter.GaussianBlur(6)).convert("RGBA")
    petal = list(COLOURS.values())[int(rng.integers(len(COLOURS)))]
    for _ in range(int(rng.integers(2, 5))):
        cx, cy, r = (
            float(rng.uniform(0.2, 0.8)) * w,
            float(rng.uniform(0.15, 0.6)) * h,
            w * float(rng.uniform(0.12, 0.24)),
        )
        bend = float(rng.uniform(-60, 60))
        stem = [(cx + bend * sin(t * pi / 12), cy + (h - cy) * t / 12) for t in range(13)]
        ImageDraw.Draw(scene).line(stem, fill=(60, 120, 50, 255), width=max(4, int(r * 0.13)))
        count = int(rng.integers(5, 10))
        for k in range(count):
            t = 2 * pi * k / count
            ux, uy = float(np.cos(t)), float(np.sin(t))
            leaf = [
                (cx, cy),
                (cx + r * (0.6 * ux - 0.32 * uy), cy + r * (0.6 * uy + 0.32 * ux)),
                (cx + r * ux, cy + r * uy),
                (cx + r * (0.6 * ux + 0.32 * uy), cy + r * (0.6 * uy - 0.32 * ux)),
            ]
            puffed(scene, spline(leaf), petal, Pose(), puff_px=14)
        core = r * 0.27
        hub = [(cx - core, cy), (cx, cy - core), (cx + core, cy), (cx, cy + core)]
        puffed(scene, spline(hub), (222, 170, 40), Pose(), puff_px=12)
    return scene.convert("RGB")


_SCENES: dict[str, Scene] = {
    "landscape": _landscape,
    "animal": _animal,
    "skyline": _skyline,
    "page": _page,
    "abstract": _abstract,
    "plant": _plant,
}

DISTRACTOR_KINDS: tuple[str, ...] = tuple(_SCENES)


def distractor(seed: int, size_px: tuple[int, int] = (480, 640)) -> Image.Image:
    """Return a picture without a product, RGB of size_px; its kind is seed modulo the kinds."""
    w, h = checked_size(size_px)
    kind = DISTRACTOR_KINDS[seed % len(DISTRACTOR_KINDS)]
    rng = np.random.default_rng([seed, 4])
    return photograph(_SCENES[kind](rng, w, h), rng, 0.25)
