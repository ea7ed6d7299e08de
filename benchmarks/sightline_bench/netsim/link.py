"""One direction of a network: `offer` a packet, and hear at once when it arrives, or that it never will.

Nothing waits and nothing is sent here: a back end holds the packet until then, in virtual time or in real time.
"""

from __future__ import annotations

import enum
import random
from collections import deque
from dataclasses import dataclass

from sightline_bench.netsim.capacity import Capacity
from sightline_bench.netsim.jitter import NO_JITTER, Jitter, JitterState
from sightline_bench.netsim.loss import GilbertElliott, LossState
from sightline_shared.errors import ConfigInvalid, InputError

LARGEST_PACKET_BYTES = 1500


class Dropped(enum.Enum):
    """Why a packet never arrives."""

    QUEUE_FULL = "queue full"
    LOST = "lost"


@dataclass(frozen=True)
class Limit:
    """How much may wait for a link, the packet that is being sent included; None for no limit."""

    size_bytes: int | None = None
    packets: int | None = None

    def __post_init__(self) -> None:
        if self.size_bytes is not None and self.size_bytes < LARGEST_PACKET_BYTES:
            raise ConfigInvalid(
                f"queue: expected room for a packet of {LARGEST_PACKET_BYTES} bytes, got {self.size_bytes}."
            )
        if self.packets is not None and self.packets < 1:
            raise ConfigInvalid(f"queue: expected room for 1 packet or more, got {self.packets}.")


class Link:
    """A drop-tail queue before a capacity, then the time of flight; every connection of a direction shares it.

    `jitter` comes on top of `propagation_ns`, and none ever overtakes. A packet that is lost has used its capacity: it was
    lost in the air.
    """

    def __init__(
        self,
        capacity: Capacity,
        *,
        propagation_ns: int = 0,
        jitter: Jitter = NO_JITTER,
        limit: Limit = Limit(),
        loss: GilbertElliott | None = None,
        seed: str = "",
    ) -> None:
        if propagation_ns < 0:
            raise ConfigInvalid(f"link: expected no negative delay, got {propagation_ns} ns.")
        self._capacity, self._limit = capacity, limit
        self._propagation_ns = propagation_ns
        # One generator each, so that a link with jitter loses the same packets as one without.
        self._jitter = JitterState(jitter, random.Random(f"{seed}/jitter"))
        self._loss = LossState(loss, random.Random(f"{seed}/loss")) if loss else None
        self._waiting: deque[tuple[int, int]] = deque()
        self._waiting_bytes = 0
        self._offered_ns = self._passed_ns = self._arrives_ns = 0

    def offer(self, now_ns: int, size_bytes: int) -> int | Dropped:
        """Return when a packet of `size_bytes` (headers included) arrives at the other end, in ns, or why it does not.

        Raises InputError when `now_ns` goes back.
        """
        self._forget(now_ns)
        if self._full(size_bytes):
            return Dropped.QUEUE_FULL
        pause_ns = now_ns - self._passed_ns
        late_ns = self._jitter.late_ns(pause_ns)
        self._passed_ns = self._capacity.serve(now_ns, size_bytes)
        self._waiting.append((self._passed_ns, size_bytes))
        self._waiting_bytes += size_bytes
        if self._loss and self._loss.loses(pause_ns):
            return Dropped.LOST
        self._arrives_ns = max(self._arrives_ns, self._passed_ns + self._propagation_ns + late_ns)
        return self._arrives_ns

    def backlog_ns(self, now_ns: int) -> int:
        """Return how long a packet offered now would wait for those before it."""
        return max(0, self._passed_ns - now_ns)

    def _forget(self, now_ns: int) -> None:
        """Let go of the packets that have passed."""
        if now_ns < self._offered_ns:
            raise InputError(f"link: expected times that never go back, got {now_ns} ns after {self._offered_ns} ns.")
        self._offered_ns = now_ns
        while self._waiting and self._waiting[0][0] <= now_ns:
            self._waiting_bytes -= self._waiting.popleft()[1]

    def _full(self, size_bytes: int) -> bool:
        most_bytes, most_packets = self._limit.size_bytes, self._limit.packets
        too_many_bytes = most_bytes is not None and self._waiting_bytes + size_bytes > most_bytes
        return too_many_bytes or (most_packets is not None and len(self._waiting) >= most_packets)
