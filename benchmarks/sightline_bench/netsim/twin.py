"""The model's word on the queries of a comparison: the same bytes at the same instants over the same traces, in virtual time.

What client and service take themselves, which no model knows, is drawn from a run with no network between them.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sightline_bench.netsim.clock import MS_NS, SECOND_NS
from sightline_bench.netsim.exchange import Payload
from sightline_bench.netsim.kernel import BARE
from sightline_bench.netsim.profiles import TRACE_SECONDS, Profile
from sightline_bench.netsim.radio import Direction
from sightline_bench.netsim.synthetic import TraceShape, synthetic_trace
from sightline_bench.netsim.table import SITUATIONS
from sightline_bench.netsim.traces import Trace
from sightline_bench.netsim.virtual import Rest, Setup, fleet
from sightline_bench.netsim.ways import DEADLINE_MS
from sightline_bench.stats import Floats

# With jitter, losses or a sleeping radio one exchange of the model is one draw.
DRAWS = 201


@dataclass(frozen=True, eq=False)
class Own:
    """What one way to ask takes with no network: `(n,)` milliseconds each, row by row of the same query, and its bytes with heads.

    `device_ms` is everything but the round trip; `first_ms` is infinite where the device had no answer of its own first.
    """

    device_ms: Floats
    round_trip_ms: Floats
    first_ms: Floats
    up_bytes: int
    down_bytes: int


@dataclass(frozen=True, eq=False)
class Told:
    """The model's milliseconds to the first and to the final answer, `(m,)`; infinite where none came before the client's deadline."""

    first_ms: Floats
    final_ms: Floats


def traces_of(profile: Profile, recorded: Mapping[Direction, Trace], seed: int) -> Mapping[Direction, Trace]:
    """Return the traces that both back ends run over: the `recorded` ones, else those made from the profile's shapes."""
    shapes = {Direction.UP: profile.up, Direction.DOWN: profile.down}
    made = {
        way: synthetic_trace(shape, TRACE_SECONDS, seed)
        for way, shape in shapes.items()
        if isinstance(shape, TraceShape) and way not in recorded
    }
    return {**made, **recorded}


def told(
    profile: Profile,
    traces: Mapping[Direction, Trace],
    situation: str,
    own: Own,
    due_s: Sequence[float],
    seeds: Sequence[int],
) -> Told:
    """Return what the model says of queries that are wanted at `due_s`, ascending, in seconds of the links' time, for each seed."""
    if not own.up_bytes:  # the device's own answers ask nobody
        return Told(own.first_ms, own.device_ms)
    session, rest = SITUATIONS[situation]
    rng = random.Random(f"own/{seeds[0]}")
    first_ms: list[float] = []
    final_ms: list[float] = []
    for seed in seeds:
        rows = [rng.randrange(len(own.device_ms)) for _ in due_s]
        device_ms = own.device_ms[rows]
        begin_ns = np.array(due_s) * SECOND_NS + device_ms * MS_NS
        order = np.argsort(begin_ns, kind="stable")
        served_ns = [round(own.round_trip_ms[rows[place]] * MS_NS) for place in order]
        setup = Setup(
            radio=profile.radio,
            stack=BARE,
            session=session,
            rest=rest,
            payload=Payload(own.up_bytes, own.down_bytes),
            service_ns=served_ns.__getitem__,
            srtt_ns=round(profile.round_trip_ms * MS_NS),
        )
        outcomes = fleet(profile.cell(seed, traces), setup, begin_ns[order].astype(np.int64).tolist(), seed)
        whole_ms = device_ms[order] + np.array([outcome.total_ms for outcome in outcomes])
        whole_ms[whole_ms > DEADLINE_MS] = np.inf
        final_ms += whole_ms.tolist()
        first_ms += np.minimum(own.first_ms[rows][order], whole_ms).tolist()
    return Told(np.array(first_ms), np.array(final_ms))


def draws(profile: Profile, situation: str, n: int) -> int:
    """Return how often the model has to ask `n` queries so that their draws are many enough."""
    chance = profile.jitter_ms or profile.loss or SITUATIONS[situation][1] is Rest.IDLE
    return -(-DRAWS // n) if chance else 1


def model_seeds(seed: int, count: int) -> list[int]:
    """Return odd seeds; what happens to the real packets has `2 * seed`."""
    return [2 * (seed * DRAWS + draw) + 1 for draw in range(count)]


def own_of(rows: Mapping[str, Any]) -> Own:
    """Return what a kind's FIELDS of a run with no network say, of what was answered."""
    answered = np.isfinite(rows["final ms"])
    first, final, trip = (np.array(rows[name])[answered] for name in ("first ms", "final ms", "round trip ms"))
    asks = trip > 0
    up, down = (round(float(np.median(np.array(rows[name])[answered]))) for name in ("up", "down"))
    local = np.where((first < final) | ~asks, first, np.inf)
    return Own(final - trip, trip, local, up, down)
