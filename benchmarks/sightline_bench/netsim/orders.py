"""What a phone says of its radio before a query, so that nobody waits ten seconds and more for one to fall asleep."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, field

from sightline_bench.netsim.radio import RadioModel, RadioState
from sightline_bench.netsim.virtual import LONGEST_CYCLE_NS, Rest

ORDERS = {Rest.ACTIVE: b"a", Rest.IDLE: b"i"}


@dataclass(frozen=True, eq=False)
class Orders:
    """Reads single bytes from the descriptor `fd`; `phases` draws when a radio listens, which no phone knows beforehand."""

    fd: int
    model: RadioModel
    phases: random.Random = field(default_factory=lambda: random.Random(0))

    def taken(self, now_ns: int) -> RadioState | None:
        """Return the radio that was ordered last: as if it had just been used, or idle since long; None where there is no phone any more."""
        said = os.read(self.fd, 1024)
        if not said:
            return None
        used_ns = now_ns if said[-1:] == ORDERS[Rest.ACTIVE] else None
        return RadioState(self.model, used_ns=used_ns, phase_ns=self.phases.randrange(LONGEST_CYCLE_NS))
