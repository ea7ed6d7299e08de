"""The honest table: what a query of so many bytes takes on each network, warm, cold and after the radio slept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sightline_bench.netsim.clock import MS_NS, SECOND_NS
from sightline_bench.netsim.exchange import Payload
from sightline_bench.netsim.figures import GOAL_MS, summary
from sightline_bench.netsim.profiles import TRACE_SECONDS, Profile
from sightline_bench.netsim.radio import Direction
from sightline_bench.netsim.stack import STACKS, Session
from sightline_bench.netsim.traces import Trace
from sightline_bench.netsim.virtual import Outcome, Rest, Setup, device, fleet

# What a query holds besides its codes, and an answer of 20 matches with theirs: `bench edge`.
ENVELOPE_BYTES, ANSWER_BYTES = 38, 2093
SITUATIONS: dict[str, tuple[Session, Rest]] = {
    "warm": (Session.WARM, Rest.ACTIVE),
    "cold": (Session.COLD, Rest.ACTIVE),
    "idle": (Session.WARM, Rest.IDLE),
    "cold and idle": (Session.COLD, Rest.IDLE),
    "resumed": (Session.RESUMED, Rest.ACTIVE),
    "0-rtt": (Session.RESUMED_EARLY, Rest.ACTIVE),
}
# A network that never changes has no instants to spread over.
SPREAD_SECONDS = 10
# Over so many made traces a device's queries are spread: one trace's p95 may be twice another's.
TRACES = 20

Cell = dict[str, Any]
Table = dict[str, dict[str, dict[str, Cell]]]


@dataclass(frozen=True)
class Network:
    """A profile, or one whose rates are `recorded` ones."""

    name: str
    title: str
    profile: Profile
    recorded: Mapping[Direction, Trace] = field(default_factory=dict)

    @classmethod
    def of(cls, profile: Profile, recorded: Mapping[Direction, Trace] | None = None) -> Network:
        if not recorded:
            return cls(profile.name, profile.title, profile)
        return cls(f"{profile.name}, recorded", f"{profile.title}, recorded", profile, recorded)

    @property
    def round_ns(self) -> int:
        """Over how long instants are spread: a trace's round, and a little where nothing ever changes."""
        if self.recorded:
            return max(trace.round_ns for trace in self.recorded.values())
        return (SPREAD_SECONDS if self.profile.is_constant else TRACE_SECONDS) * SECOND_NS

    @property
    def traces(self) -> int:
        """How many networks like this one there are to ask in; of a recorded one there is only itself."""
        return 1 if self.recorded or self.profile.is_constant else TRACES


@dataclass(frozen=True)
class Plan:
    """What every run has in common; `per_second` asks as a fleet, None at independent instants."""

    networks: Sequence[Network]
    situations: Sequence[str]
    stack: str = "http2"
    n: int = 200
    per_second: float | None = None
    answer_bytes: int = ANSWER_BYTES
    seed: int = 0

    def groups(self, network: Network) -> int:
        """Return in how many groups of neighbours the queries come, each in a trace of its own."""
        return 1 if self.per_second is not None else min(self.n, network.traces)


def measure(plan: Plan, sizes: Sequence[int], server_ms: float, step: Callable[[], None]) -> Table:
    """Return the figures by network, situation and size: bytes up without the envelope."""
    table: Table = {}
    for network in plan.networks:
        for situation in plan.situations:
            row = table.setdefault(network.name, {}).setdefault(situation, {})
            for size in sizes:
                payload = Payload(size + ENVELOPE_BYTES, plan.answer_bytes)
                outcomes = asked(plan, network, situation, payload, lambda number: round(server_ms * MS_NS))
                row[f"{size} B"] = summary(outcomes, plan.groups(network))
                step()
    return table


def asked(
    plan: Plan, network: Network, situation: str, payload: Payload, service_ns: Callable[[int], int]
) -> list[Outcome]:
    """Return what became of `plan.n` queries, by number: trace by trace, and in each in order of time."""
    session, rest = SITUATIONS[situation]
    profile = network.profile
    setup = Setup(
        radio=profile.radio,
        stack=STACKS[plan.stack],
        session=session,
        rest=rest,
        payload=payload,
        service_ns=service_ns,
        srtt_ns=round(profile.round_trip_ms * MS_NS),
    )
    if plan.per_second is None:
        parts = np.array_split(np.arange(plan.n), plan.groups(network))
        seeds = range(plan.seed * TRACES, plan.seed * TRACES + len(parts))
        return [
            outcome
            for seed, part in zip(seeds, parts, strict=True)
            for outcome in device(profile.cell(seed, network.recorded), setup, part.tolist(), network.round_ns, seed)
        ]
    cell = profile.cell(plan.seed, network.recorded)
    # A Poisson process until its n-th arrival.
    gaps_s = np.random.default_rng(plan.seed).exponential(1 / plan.per_second, plan.n)
    return fleet(cell, setup, [round(at * SECOND_NS) for at in gaps_s.cumsum().tolist()], plan.seed)


def as_markdown(table: Table, titles: Mapping[str, str]) -> str:
    """Return the table as people read it; `titles` by profile."""
    situations = list(dict.fromkeys(situation for row in table.values() for situation in row))
    return "\n".join(line for situation in situations for line in [*_lines(table, titles, situation), ""])


def _lines(table: Table, titles: Mapping[str, str], situation: str) -> list[str]:
    rows = {name: row[situation] for name, row in table.items() if situation in row}
    sizes = list(next(iter(rows.values())))
    lines = [
        f"**{situation}**: milliseconds from asking to the whole answer, p50 / p95 (share that missed {GOAL_MS:g} ms)",
        "",
        f"| network | {' | '.join(sizes)} |",
        "|---|" + "---|" * len(sizes),
    ]
    for name, row in rows.items():
        lines.append(f"| {titles.get(name, name)} | {' | '.join(_text(row[size]) for size in sizes)} |")
    return lines


def _text(cell: Cell) -> str:
    middle, late = (cell["ms"].get(level, {"value": "too few"})["value"] for level in ("p50", "p95"))
    return f"{_ms(middle)} / {_ms(late)} ({100 * cell['miss_200_ms']['value']:.0f} %)"


def _ms(value: float | str | None) -> str:
    if value is None:
        return "never"
    return value if isinstance(value, str) else f"{value:.0f}"
