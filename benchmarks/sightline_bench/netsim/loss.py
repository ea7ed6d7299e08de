"""Losses that come in bursts: the model of Gilbert and Elliott, one step a packet, which forgets with time."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from sightline_shared.errors import ConfigInvalid

# How long a bad spell lasts in which nobody sends: what fades at walking pace does so for some tens of milliseconds. Assumed.
MEMORY_NS = 50_000_000


@dataclass(frozen=True)
class GilbertElliott:
    """Two states; chances, each in [0, 1]: to turn bad, to turn good again, and that a packet is lost in either."""

    turns_bad: float
    turns_good: float
    lost_when_bad: float = 1.0
    lost_when_good: float = 0.0

    def __post_init__(self) -> None:
        chances = (self.turns_bad, self.turns_good, self.lost_when_bad, self.lost_when_good)
        if not all(0 <= chance <= 1 for chance in chances) or not self.turns_good:
            raise ConfigInvalid(f"loss: expected chances in [0, 1], and one above 0 to turn good, got {chances}.")

    @classmethod
    def of(cls, share: float, burst_packets: float = 1.0) -> GilbertElliott:
        """Return the model that loses `share` of all packets, in bursts of `burst_packets` on average."""
        if not 0 <= share < 1 or burst_packets < 1 or share / (1 - share) > burst_packets:
            raise ConfigInvalid(
                f"loss: expected a share in [0, 1) and bursts of at least 1 packet that can make it up, got {share} and {burst_packets}."
            )
        return cls(turns_bad=share / (1 - share) / burst_packets, turns_good=1 / burst_packets)

    @property
    def bad_share(self) -> float:
        """The share of packets that meet the bad state in the long run."""
        return self.turns_bad / (self.turns_bad + self.turns_good)

    @property
    def share(self) -> float:
        """The share of packets that are lost in the long run."""
        bad = self.bad_share
        return bad * self.lost_when_bad + (1 - bad) * self.lost_when_good


class LossState:
    """Where one link stands in its model.

    After a pause of `t` its state is drawn anew with the chance 1 - exp(-t / MEMORY_NS): else what is sent again after a
    timer, with nothing in between, would meet the same burst for a minute.
    """

    def __init__(self, model: GilbertElliott, rng: random.Random) -> None:
        self._model, self._rng = model, rng
        self._bad = False

    def loses(self, pause_ns: int) -> bool:
        """Take one packet's step, `pause_ns` after the one before it, and return whether the packet is lost."""
        model = self._model
        if pause_ns > 0 and self._rng.random() >= math.exp(-pause_ns / MEMORY_NS):
            self._bad = self._rng.random() < model.bad_share
        turns = self._rng.random() < (model.turns_good if self._bad else model.turns_bad)
        self._bad ^= turns
        return self._rng.random() < (model.lost_when_bad if self._bad else model.lost_when_good)
