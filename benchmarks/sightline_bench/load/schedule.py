"""When requests arrive, decided before the first is sent: an open loop, which no slow answer ever slows down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Seconds = NDArray[np.float64]


@dataclass(frozen=True)
class Phase:
    """So many arrivals a second, for so many seconds."""

    per_second: float
    seconds: float


def poisson(phases: Sequence[Phase], seed: int) -> Seconds:
    """Return the arrivals' times in ascending order, `(n,)` seconds from the beginning: one Poisson process after another."""
    rng = np.random.default_rng(seed)
    parts, begin = [], 0.0
    for phase in phases:
        # Given their number, the arrivals of a Poisson process lie anywhere with the same chance.
        count = rng.poisson(phase.per_second * phase.seconds)
        parts.append(begin + np.sort(rng.random(count)) * phase.seconds)
        begin += phase.seconds
    return np.concatenate(parts) if parts else np.empty(0)
