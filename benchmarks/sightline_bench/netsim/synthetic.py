"""Made traces that are like recorded ones, from published statistics and a seed: recorded traces cannot be shipped.

The rate changes by the second: a Gaussian AR(1) walk, turned into a rate by the quantile function through the published
p5, p50 and p95, straight below the median and geometric above it; beyond p95 it goes to where the mean comes out.
On top of that come stalls, more of them in slow seconds: as many pauses of more than 100 ms as published, their lengths
Pareto, so that the longest of a whole trace is expected to be the published longest. What a second lets through is spread
evenly over what the stalls leave of it. Not modelled: that both directions of a phone stall together, pauses below 100 ms, times of day.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from sightline_bench.netsim.capacity import MBIT, OPPORTUNITY_BYTES
from sightline_bench.netsim.traces import GAP_MS, MAX_LINES, OpportunityTrace, RateTrace, Trace
from sightline_shared.errors import ConfigInvalid

OPPORTUNITY_MBIT = 8 * OPPORTUNITY_BYTES / MBIT
MAX_SECONDS = 3600
# Stalls that touch are one stall: they are put apart, where there is room.
APART_MS, TRIES = 50, 4
ROUNDS, CLOSE = 8, 0.05


@dataclass(frozen=True)
class Stalls:
    """Pauses of more than 100 ms: how many, the longest, and in how many seconds they were counted."""

    count: int
    longest_ms: int
    seconds: float

    def __post_init__(self) -> None:
        most = self.seconds * 1000 / (GAP_MS + APART_MS)
        if not 1 <= self.count <= most or self.longest_ms <= GAP_MS:
            raise ConfigInvalid(
                f"stalls: expected 1 to {most:.0f} in {self.seconds:g} s, the longest of more than {GAP_MS} ms, got {self}."
            )

    @property
    def per_second(self) -> float:
        return self.count / self.seconds

    def length_ms(self, chance: float) -> int:
        """Return the length at the quantile 1 - `chance`, in (0, 1], of the Pareto distribution from 100 ms on."""
        shape = math.log(self.count + 1) / math.log(self.longest_ms / GAP_MS)
        return min(2 * self.longest_ms, math.ceil(GAP_MS * math.pow(chance, -1 / shape)))


@dataclass(frozen=True)
class TraceShape:
    """Published statistics of one direction: megabits a second by the second, how one second follows another, stalls.

    `correlation` is of the rates' ranks in neighbouring seconds. Without `mean_mbit` the tail goes on geometrically;
    without `stalls` the trace is made of rates by the second only.
    """

    name: str
    source: str
    p5_mbit: float
    p50_mbit: float
    p95_mbit: float
    correlation: float
    mean_mbit: float | None = None
    stalls: Stalls | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.p5_mbit <= self.p50_mbit <= self.p95_mbit or not self.p50_mbit > 0 <= self.correlation < 1:
            raise ConfigInvalid(
                f"shape {self.name}: expected 0 <= p5 <= p50 <= p95, a median above 0 and a correlation in [0, 1), got {self}."
            )

    @property
    def most_mbit(self) -> float:
        """The rate of the best second, where the mean comes out, p95 at least."""
        growth = self.p95_mbit / self.p50_mbit
        if self.mean_mbit is None:
            return self.p95_mbit * float(growth ** (0.05 / 0.45))
        above = (self.p95_mbit - self.p50_mbit) / math.log(growth) if growth > 1 else self.p50_mbit
        below = 0.05 * self.p5_mbit / 2 + 0.45 * (self.p5_mbit + self.p50_mbit) / 2 + 0.45 * above
        return max(self.p95_mbit, 2 * (self.mean_mbit - below) / 0.05 - self.p95_mbit)

    def mbit_at(self, quantile: float) -> float:
        """Return the rate that the share `quantile` of all seconds stays below."""
        if 0.5 < quantile < 0.95:
            return self.p50_mbit * float((self.p95_mbit / self.p50_mbit) ** ((quantile - 0.5) / 0.45))
        points = [0.0, self.p5_mbit, self.p50_mbit, self.p95_mbit, self.most_mbit]
        return float(np.interp(quantile, [0.0, 0.05, 0.5, 0.95, 1.0], points))


def synthetic_trace(shape: TraceShape, seconds: int, seed: int) -> Trace:
    """Return a trace of that shape; the same seed gives the same trace. Raises ConfigInvalid."""
    if not 1 <= seconds <= MAX_SECONDS:
        raise ConfigInvalid(f"synthetic trace: expected 1 to {MAX_SECONDS} seconds, got {seconds}.")
    quantiles = _walk(shape, seconds, random.Random(f"{shape.name}/{seed}"))
    if shape.stalls is None:
        rates = [shape.mbit_at(quantile) for quantile in quantiles]
        return RateTrace(shape.name, np.array(rates if any(rates) else [*rates[:-1], shape.p50_mbit]))
    made_of = sum(map(shape.mbit_at, quantiles)) / OPPORTUNITY_MBIT
    if made_of > MAX_LINES:
        raise ConfigInvalid(
            f"shape {shape.name}: expected a trace of at most {MAX_LINES} packets, got {made_of:.0f} in {seconds} s; "
            "without stalls it is made of rates by the second."
        )
    # Slow seconds have long pauses of their own, and stalls that meet are one: put in so many that the sum is right.
    target = put_in = round(shape.stalls.per_second * seconds)
    best: tuple[int, NDArray[np.int64]] | None = None
    for attempt in range(ROUNDS):
        rng = random.Random(f"{shape.name}/{seed}/{attempt}")
        times_ms = np.array([*_times_ms(shape, quantiles, put_in, rng), 1000 * seconds], np.int64)
        surplus = int((np.diff(times_ms) > GAP_MS).sum()) - target
        if best is None or abs(surplus) < best[0]:
            best = abs(surplus), times_ms
        if best[0] <= CLOSE * target:
            break
        put_in = max(0, put_in - surplus)
    assert best is not None
    return OpportunityTrace(shape.name, best[1])


def _times_ms(shape: TraceShape, quantiles: list[float], stalls: int, rng: random.Random) -> list[int]:
    free = _free(shape, quantiles, stalls, rng)
    # Seconds that a stall has swallowed are among the slowest: the others are not as slow as they would be without.
    dead = float((~free.any(axis=1)).mean())
    rates = [shape.mbit_at(dead + (1 - dead) * quantile) for quantile in quantiles]
    return [time_ms for second, rate in enumerate(rates) for time_ms in _spread(second, rate, free[second], rng)]


def _walk(shape: TraceShape, seconds: int, rng: random.Random) -> list[float]:
    """Return each second's place among all seconds, in (0, 1), evenly: every trace has the published quantiles, not only long ones."""
    # The correlation of the walk behind a correlation of ranks.
    step = 2 * math.sin(math.pi * shape.correlation / 6)
    walk = [rng.gauss(0, 1)]
    for _ in range(seconds - 1):
        walk.append(step * walk[-1] + math.sqrt(1 - step * step) * rng.gauss(0, 1))
    places = np.argsort(np.argsort(walk, kind="stable"), kind="stable")
    return [(place + 0.5) / seconds for place in places.tolist()]


def _free(shape: TraceShape, quantiles: list[float], stalls: int, rng: random.Random) -> NDArray[np.bool_]:
    """Return which milliseconds are not stalled, `(seconds, 1000)`; slow seconds stall more often, in proportion to 1 / rate."""
    assert shape.stalls is not None
    least = 1000 / GAP_MS * OPPORTUNITY_MBIT
    weights = list(accumulate(1 / max(shape.mbit_at(quantile), least) for quantile in quantiles))
    free = np.ones(1000 * len(quantiles), bool)
    for _ in range(TRIES * stalls):
        if not stalls:
            break
        (second,) = rng.choices(range(len(quantiles)), cum_weights=weights)
        begin = 1000 * second + rng.randrange(1000)
        end = begin + shape.stalls.length_ms(1 - rng.random())
        if free[max(0, begin - APART_MS) : end + APART_MS].all():
            free[begin:end] = False
            stalls -= 1
    return free.reshape(-1, 1000)


def _spread(second: int, rate: float, free: NDArray[np.bool_], rng: random.Random) -> list[int]:
    """Return the milliseconds at which a second of `rate` lets packets through."""
    (at,) = free.nonzero()
    exact = rate / OPPORTUNITY_MBIT
    count = int(exact) + (rng.random() < exact % 1)  # rounding would lose the slow seconds
    if not len(at) or not count:
        return []
    shift = rng.random()
    return [1000 * second + int(at[int((number + shift) * len(at) / count)]) for number in range(count)]
