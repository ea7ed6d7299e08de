"""When which query is asked: rounds of every way in every situation, in an order drawn by the seed, one not yet over when the next begins only by a stall."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# Beyond what a query takes, so that the processor is free again.
SPARE_S = 0.05
# The first use of a model, a pool or a page of memory is slower.
WARM_ROUNDS = 2

Kind = tuple[str, str]


@dataclass(frozen=True)
class Slot:
    """One query: from `open_s` on it may get ready, at `due_s` it is wanted; seconds from the beginning.

    `shot` is a photograph's number; what is not `counted` only makes both processes warm.
    """

    open_s: float
    due_s: float
    situation: str
    way: str
    shot: int
    counted: bool = True


def schedule(
    kinds: Sequence[Kind], takes_s: Mapping[Kind, float], lead_s: Mapping[Kind, float], n: int, shots: int, seed: int
) -> list[Slot]:
    """Return `n` rounds of `kinds` after WARM_ROUNDS that do not count; `takes_s` is how long a query is expected to take, `lead_s` what it needs before."""
    rng = random.Random(f"schedule/{seed}")
    slots: list[Slot] = []
    now_s = 0.0
    for number in range(-WARM_ROUNDS, n):
        for situation, way in rng.sample(kinds, len(kinds)):
            kind = situation, way
            # At no fixed distance: what comes back at fixed intervals may meet the same instants of a network always.
            due_s = now_s + lead_s[kind] + rng.random() * SPARE_S
            slots.append(Slot(round(now_s, 6), round(due_s, 6), situation, way, number % shots, number >= 0))
            now_s = due_s + takes_s[kind] + SPARE_S
    return slots
