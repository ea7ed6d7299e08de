"""Delays that come and go: exponential ones, and rarer, longer ones for networks that have them."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from sightline_shared.errors import ConfigInvalid

# How long a delay lasts. None of the sources says; a repetition of LTE's takes 8 ms.
MEMORY_NS = 10_000_000
# Beyond so many means a packet is not late but lost, which is another model's business.
MOST_MEANS = 10


@dataclass(frozen=True)
class Jitter:
    """A delay's mean, and of the `spike_share` of delays that are drawn with a mean of `spike_ns` instead."""

    mean_ns: int = 0
    spike_share: float = 0.0
    spike_ns: int = 0

    def __post_init__(self) -> None:
        if self.mean_ns < 0 or self.spike_ns < 0 or not 0 <= self.spike_share <= 1:
            raise ConfigInvalid(f"jitter: expected no negative delays and a share in [0, 1], got {self}.")

    @property
    def is_none(self) -> bool:
        return not self.mean_ns and not (self.spike_share and self.spike_ns)


NO_JITTER = Jitter()


class JitterState:
    """The delay of one link. After `t` it is still the same with the chance exp(-t / MEMORY_NS), else drawn anew.

    So a burst is late together, and a packet soon after a late one is rarely held up by it more than by its own delay.
    """

    def __init__(self, jitter: Jitter, rng: random.Random) -> None:
        self._jitter, self._rng = jitter, rng
        self._late_ns = self._drawn_ns()

    def late_ns(self, pause_ns: int) -> int:
        """Return the delay of a packet that comes `pause_ns` after the one before it was on its way."""
        if pause_ns > 0 and not self._jitter.is_none and self._rng.random() >= math.exp(-pause_ns / MEMORY_NS):
            self._late_ns = self._drawn_ns()
        return self._late_ns

    def _drawn_ns(self) -> int:
        jitter = self._jitter
        if jitter.is_none:
            return 0
        mean_ns = jitter.spike_ns if jitter.spike_share and self._rng.random() < jitter.spike_share else jitter.mean_ns
        return min(MOST_MEANS * mean_ns, round(self._rng.expovariate(1.0) * mean_ns))
