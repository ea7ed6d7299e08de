"""How late a back end in real time was: one that was later than it may must not be believed."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from sightline_bench.netsim.clock import MS_NS

LATE_MS, LATE_LEVEL = 1.0, 99.0


@dataclass
class Lateness:
    """By how many nanoseconds each packet was handed on later than the model says; `most_ms` is how late 1 % may be."""

    ns: list[int] = field(default_factory=list)
    most_ms: float = LATE_MS

    @property
    def worst_ms(self) -> float:
        """The lateness that 99 % of the packets stayed below."""
        return float(np.percentile(self.ns, LATE_LEVEL)) / MS_NS if self.ns else 0.0

    @property
    def is_good(self) -> bool:
        """Whether times measured through this back end mean anything."""
        return self.worst_ms <= self.most_ms
