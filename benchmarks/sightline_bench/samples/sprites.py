"""The register of families and the one function that turns a drawing into a sprite."""

from __future__ import annotations

from collections.abc import Callable

from PIL import Image

from . import packs_boxed, packs_home, packs_soft, packs_turned, packs_worn
from .canvas import Pose
from .drawing import Drawing

Painter = Callable[[Drawing, Pose], Image.Image]

FAMILIES: dict[str, Painter] = {
    "bottle": packs_turned.bottle,
    "carton": packs_boxed.carton,
    "can": packs_turned.can,
    "sneaker": packs_worn.sneaker,
    "jar": packs_turned.jar,
    "box": packs_boxed.box,
    "mug": packs_home.mug,
    "shirt": packs_worn.shirt,
    "book": packs_boxed.book,
    "bag": packs_soft.bag,
    "tube": packs_turned.tube,
    "chair": packs_boxed.chair,
    "pouch": packs_soft.pouch,
    "lamp": packs_home.lamp,
    "cap": packs_worn.cap,
    "clock": packs_home.clock,
}

FLAT = frozenset({"shirt", "clock"})
"""Families that lie or hang flat, so they cast an offset shadow and no contact shadow."""


def render_sprite(drawing: Drawing, pose: Pose) -> Image.Image:
    """Return the item on a transparent ground, RGBA 480 x 640 px."""
    return FAMILIES[drawing.family](drawing, pose)
