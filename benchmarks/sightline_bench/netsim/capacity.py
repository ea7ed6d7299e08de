"""How fast a link lets bytes through: at one rate, at a rate for each second, or at recorded delivery opportunities."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sightline_bench.netsim.clock import MS_NS, SECOND_NS
from sightline_shared.errors import ConfigInvalid

# Mahimahi's unit: one line of a trace lets so many bytes through.
OPPORTUNITY_BYTES = 1500
MBIT = 1_000_000


class Capacity(Protocol):
    """Serves packets one after another, in the order of the calls; keeps state, so each link has its own."""

    def serve(self, ready_ns: int, size_bytes: int) -> int:
        """Return when the last byte of a packet has passed that could begin at `ready_ns`, never earlier than the last packet."""
        ...

    def bits_until(self, when_ns: int) -> int:
        """Return how many bits may pass from 0 until then."""
        ...


class ConstantRate:
    """So many bits a second, always."""

    def __init__(self, bits_per_s: int) -> None:
        if bits_per_s < 1:
            raise ConfigInvalid(f"rate: expected at least 1 bit/s, got {bits_per_s}.")
        self._bits_per_s = bits_per_s
        self._free_ns = 0

    def serve(self, ready_ns: int, size_bytes: int) -> int:
        self._free_ns = max(ready_ns, self._free_ns) + _divided_up(8 * size_bytes * SECOND_NS, self._bits_per_s)
        return self._free_ns

    def bits_until(self, when_ns: int) -> int:
        return self._bits_per_s * when_ns // SECOND_NS


class SteppedRate:
    """A rate for each step of time, over and over; steps of rate 0 are outages."""

    def __init__(self, bits_per_s: Sequence[int], step_ns: int = SECOND_NS) -> None:
        if step_ns < MS_NS or min(bits_per_s, default=-1) < 0 or not any(bits_per_s):
            raise ConfigInvalid("rates: expected steps of 1 ms or more, none below 0 bit/s and one above it.")
        self._rates, self._step_ns = bits_per_s, step_ns
        # What has passed at the beginning of each step, in bits a second times nanoseconds; the last is a whole round.
        self._sums = [0, *accumulate(rate * step_ns for rate in bits_per_s)]
        self._free_ns = 0

    def serve(self, ready_ns: int, size_bytes: int) -> int:
        begins_ns = max(ready_ns, self._free_ns)
        self._free_ns = max(begins_ns, self._passed_ns(self._sum(begins_ns) + 8 * size_bytes * SECOND_NS))
        return self._free_ns

    def bits_until(self, when_ns: int) -> int:
        return self._sum(when_ns) // SECOND_NS

    def _sum(self, when_ns: int) -> int:
        """Return what has passed until then."""
        steps, within_ns = divmod(when_ns, self._step_ns)
        rounds, step = divmod(steps, len(self._rates))
        return rounds * self._sums[-1] + self._sums[step] + self._rates[step] * within_ns

    def _passed_ns(self, wanted: int) -> int:
        """Return when so much has passed; `wanted` is above 0."""
        rounds, rest = divmod(wanted - 1, self._sums[-1])
        step = bisect_right(self._sums, rest) - 1
        within_ns = _divided_up(rest + 1 - self._sums[step], self._rates[step])
        return (rounds * len(self._rates) + step) * self._step_ns + within_ns


class Opportunities:
    """Instants at which 1,500 bytes may pass, over and over; what is not used at its instant is lost, as in mahimahi.

    `times_ns` ascend; the last one is also the length of a round. A packet may use the opportunity of the instant at
    which it is ready, several small packets share one, and one packet may need two.
    """

    def __init__(self, times_ns: Sequence[int] | NDArray[np.int64]) -> None:
        times = np.asarray(times_ns, np.int64)
        if not times.size or times[0] < 0 or times[-1] < 1 or (np.diff(times) < 0).any():
            raise ConfigInvalid("opportunities: expected ascending instants from 0 on, the last one after 0.")
        # Whole numbers of Python, of which there may be millions, would take four times the memory.
        self._times_ns, self._round_ns = array("q", times.tobytes()), int(times[-1])
        self._at, self._left_bytes = 0, OPPORTUNITY_BYTES

    def serve(self, ready_ns: int, size_bytes: int) -> int:
        earliest = self._earliest(ready_ns)
        if earliest > self._at:
            self._at, self._left_bytes = earliest, OPPORTUNITY_BYTES
        while size_bytes > self._left_bytes:
            size_bytes -= self._left_bytes
            self._at, self._left_bytes = self._at + 1, OPPORTUNITY_BYTES
        self._left_bytes -= size_bytes
        rounds, within = divmod(self._at, len(self._times_ns))
        return rounds * self._round_ns + self._times_ns[within]

    def bits_until(self, when_ns: int) -> int:
        return 8 * OPPORTUNITY_BYTES * self._earliest(when_ns)

    def _earliest(self, ready_ns: int) -> int:
        """Return the number of the first opportunity at `ready_ns` or later, counted through all rounds."""
        rounds, within_ns = divmod(ready_ns, self._round_ns)
        if rounds and not within_ns:  # the last instant of a round is the beginning of the next
            rounds, within_ns = rounds - 1, self._round_ns
        return rounds * len(self._times_ns) + bisect_left(self._times_ns, within_ns)


class Stalled:
    """Another capacity, behind which nothing passes from `begin_ns` on for `stall_ns`: a fault put in on purpose.

    A packet that is under way when the stall begins is finished after it.
    """

    def __init__(self, inner: Capacity, begin_ns: int, stall_ns: int) -> None:
        self._inner, self._begin_ns, self._end_ns = inner, begin_ns, begin_ns + stall_ns

    def serve(self, ready_ns: int, size_bytes: int) -> int:
        if self._begin_ns <= ready_ns < self._end_ns:
            ready_ns = self._end_ns
        passed_ns = self._inner.serve(ready_ns, size_bytes)
        return passed_ns if passed_ns < self._begin_ns else max(passed_ns, self._end_ns)

    def bits_until(self, when_ns: int) -> int:
        stalled_ns = min(max(when_ns, self._begin_ns), self._end_ns)
        return (
            self._inner.bits_until(when_ns)
            - self._inner.bits_until(stalled_ns)
            + self._inner.bits_until(self._begin_ns)
            if when_ns > self._begin_ns
            else self._inner.bits_until(when_ns)
        )


def _divided_up(number: int, by: int) -> int:
    return -(-number // by)
