"""The frozen parameters from which every family paints its sprite."""

from __future__ import annotations

from dataclasses import dataclass

from .canvas import RGB
from .labels import LabelSpec


@dataclass(frozen=True)
class Drawing:
    """What one item looks like; shape holds six proportions in 0..1, trim colours cap or strap."""

    family: str
    variant: int
    shape: tuple[float, float, float, float, float, float]
    label: LabelSpec
    trim: RGB
    gloss: float
    seed: int

    def span(self, slot: int, low: float, high: float) -> float:
        """Return proportion number slot stretched to low..high."""
        return low + (high - low) * self.shape[slot]
