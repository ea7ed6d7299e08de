"""Named colours and the palettes that items are painted with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .canvas import RGB, luma, mix

COLOURS: dict[str, RGB] = {
    "red": (206, 38, 42),
    "coral": (242, 106, 88),
    "orange": (243, 134, 28),
    "yellow": (248, 200, 42),
    "lime": (156, 200, 52),
    "green": (48, 140, 72),
    "forest": (28, 82, 60),
    "mint": (150, 218, 190),
    "teal": (18, 138, 142),
    "sky": (110, 186, 232),
    "blue": (36, 96, 196),
    "navy": (26, 42, 92),
    "violet": (112, 68, 168),
    "lavender": (190, 172, 226),
    "magenta": (200, 40, 122),
    "pink": (246, 172, 192),
    "brown": (118, 74, 46),
    "kraft": (196, 160, 116),
    "cream": (244, 232, 206),
    "white": (246, 246, 244),
    "grey": (150, 154, 160),
    "charcoal": (46, 48, 54),
}


@dataclass(frozen=True)
class Palette:
    """Five colours of one item: base, accent, second, ink (text) and paper (light panel)."""

    name: str
    base: RGB
    accent: RGB
    second: RGB
    ink: RGB
    paper: RGB

    def text_on(self, ground: RGB) -> RGB:
        """Return ink or paper, whichever reads better on ground."""
        dark, light = self.ink, self.paper
        return dark if abs(luma(dark) - luma(ground)) > abs(luma(light) - luma(ground)) else light

    def mark_on(self, ground: RGB) -> RGB:
        """Return the first of base, second and accent that stands out from ground, else ink."""
        for colour in (self.base, self.second, self.accent):
            if sum(abs(x - y) for x, y in zip(colour, ground, strict=True)) > 110:
                return colour
        return self.ink


def make_palette(rng: np.random.Generator, avoid: frozenset[str] = frozenset()) -> Palette:
    """Draw a palette whose base colour is not named in avoid."""
    names = [name for name in COLOURS if name not in avoid] or list(COLOURS)
    name = names[int(rng.integers(len(names)))]
    base = COLOURS[name]
    others = [c for c in COLOURS.values() if abs(luma(c) - luma(base)) > 45]
    accent = others[int(rng.integers(len(others)))]
    rest = [c for c in COLOURS.values() if c not in (base, accent)]
    second = rest[int(rng.integers(len(rest)))]
    ink = mix(COLOURS[("charcoal", "navy", "forest", "brown")[int(rng.integers(4))]], (0, 0, 0), 0.3)
    paper = COLOURS[("white", "cream", "white")[int(rng.integers(3))]]
    return Palette(name, base, accent, second, ink, paper)
