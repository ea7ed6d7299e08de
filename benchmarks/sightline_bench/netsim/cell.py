"""Both directions of a network as its phones share them: two links, and the wire behind the base station."""

from __future__ import annotations

from dataclasses import dataclass

from sightline_bench.netsim.link import Link
from sightline_bench.netsim.radio import Direction


@dataclass(frozen=True, eq=False)
class Cell:
    """`links` carry everybody's packets. A packet up passes its phone's radio, the link, then the wire; one down the wire first.

    `wire_ns` is half the round trip: the link up has it as its propagation, and `before_ns` is it for packets down.
    """

    links: dict[Direction, Link]
    wire_ns: int

    def before_ns(self, direction: Direction) -> int:
        """Return how long after it was sent a packet reaches the radio's queue."""
        return self.wire_ns if direction is Direction.DOWN else 0
