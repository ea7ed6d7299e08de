"""Queries in virtual time: `device`, one phone now and then, and `fleet`, many phones by a schedule in one cell.

Both are timed from when a query was wanted. In a fleet nothing ever waits for an earlier answer, so a second in which
nothing passes is met by everybody who asks in it: no coordinated omission.
"""

from __future__ import annotations

import enum
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sightline_bench.netsim.cell import Cell
from sightline_bench.netsim.clock import SECOND_NS, VirtualTime
from sightline_bench.netsim.connection import Connection
from sightline_bench.netsim.exchange import Breakdown, Exchange, Payload
from sightline_bench.netsim.radio import Direction, RadioModel, RadioState
from sightline_bench.netsim.stack import Session, Stack
from sightline_bench.netsim.wire import Count, Wire

# A query that has no answer by then has none.
PATIENCE_NS = 60 * SECOND_NS
DOZING_SINCE_NS = SECOND_NS
# Longer than any cycle in which a radio listens.
LONGEST_CYCLE_NS = 10 * SECOND_NS


class Rest(enum.Enum):
    """What the phone's radio did before the query."""

    ACTIVE = "active"
    DOZING = "dozing"
    IDLE = "idle"


@dataclass(frozen=True)
class Setup:
    """What is asked, and how: the same for every query of a run, but for `service_ns`, what the service takes for the one of that number."""

    radio: RadioModel
    stack: Stack
    session: Session
    rest: Rest
    payload: Payload
    service_ns: Callable[[int], int]
    srtt_ns: int


@dataclass(frozen=True)
class Outcome:
    """What became of one query; `breakdown` is None when no answer came within `PATIENCE_NS`.

    `counts` are of all its packets, `radio_ns` is how long the radio was on until the answer, `tail_ns` how long it stays
    on afterwards when nothing else is sent.
    """

    due_ns: int
    breakdown: Breakdown | None
    counts: dict[Direction, Count]
    radio_ns: int
    tail_ns: int

    @property
    def total_ms(self) -> float:
        """Milliseconds until the whole answer was there, infinite without one."""
        return float("inf") if self.breakdown is None else self.breakdown.total_ns / 1e6


class _Phone:
    """One query's phone."""

    def __init__(
        self, time: VirtualTime, cell: Cell, setup: Setup, due_ns: int, rng: random.Random, number: int
    ) -> None:
        used_ns = {Rest.ACTIVE: due_ns, Rest.DOZING: due_ns - DOZING_SINCE_NS, Rest.IDLE: None}[setup.rest]
        radio = RadioState(setup.radio, used_ns=used_ns, phase_ns=rng.randrange(LONGEST_CYCLE_NS))
        self._time, self._setup, self._due_ns, self._number = time, setup, due_ns, number
        self._wire = Wire(time, cell, radio)
        self._exchange: Exchange | None = None

    def ask(self) -> None:
        setup = self._setup
        connection = Connection(self._wire, setup.stack, setup.session, setup.srtt_ns)
        self._exchange = Exchange(connection, setup.payload, lambda now_ns: setup.service_ns(self._number))
        self._exchange.begin()

    def outcome(self) -> Outcome:
        breakdown = self._exchange.result if self._exchange else None
        took_ns = PATIENCE_NS if breakdown is None else breakdown.total_ns
        if took_ns >= PATIENCE_NS:
            breakdown = None
        radio = self._wire.radio
        radio_ns = radio.on_ns(self._due_ns + took_ns) - radio.on_ns(self._due_ns)
        return Outcome(self._due_ns, breakdown, self._wire.counts, radio_ns, self._setup.radio.idle_after_ns or 0)


def device(cell: Cell, setup: Setup, numbers: Sequence[int], spread_ns: int, seed: int) -> list[Outcome]:
    """Ask the queries of those numbers at independent instants, even over `spread_ns` (a trace's round), with nobody else in the cell."""
    rng = random.Random(f"device/{seed}")
    outcomes, now_ns = [], 0
    for number in numbers:
        due_ns = now_ns + rng.randrange(spread_ns)
        # A new queue of events: what a query that was given up would still have sent is not sent.
        time = VirtualTime(due_ns)
        phone = _Phone(time, cell, setup, due_ns, rng, number)
        phone.ask()
        time.run(until_ns=due_ns + PATIENCE_NS)
        outcomes.append(phone.outcome())
        now_ns = time.now_ns
    return outcomes


def fleet(cell: Cell, setup: Setup, due_ns: Sequence[int], seed: int) -> list[Outcome]:
    """Ask at the times `due_ns`, ascending, each from a phone of its own with a connection of its own; all share the cell."""
    rng = random.Random(f"fleet/{seed}")
    time = VirtualTime()
    phones = [_Phone(time, cell, setup, due, rng, number) for number, due in enumerate(due_ns)]
    for due, phone in zip(due_ns, phones, strict=True):
        time.at(due, phone.ask)
    time.run(until_ns=(due_ns[-1] if due_ns else 0) + PATIENCE_NS)
    return [phone.outcome() for phone in phones]
