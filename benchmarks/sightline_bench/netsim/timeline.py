"""Codes over two minutes of a changing network, second by second, with what the network could carry."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

from sightline_bench.netsim.capacity import MBIT, Capacity
from sightline_bench.netsim.clock import SECOND_NS
from sightline_bench.netsim.exchange import Payload
from sightline_bench.netsim.strategies import STRATEGIES
from sightline_bench.netsim.table import Plan, asked

SECONDS, PER_SECOND = 120, 2.0
SERVER_NS = 6_000_000


def timeline(plan: Plan) -> dict[str, Any]:
    """Return when codes were asked and what they took, and the capacity both ways, for the first network that changes.

    Empty where none does. Seconds are from the trace's beginning; an unanswered query is None.
    """
    network = next((each for each in plan.networks if each.recorded or not each.profile.is_constant), None)
    if network is None:
        return {}
    run = replace(plan, n=round(SECONDS * PER_SECOND), per_second=PER_SECOND)
    up_bytes = STRATEGIES["code"].up_bytes or 0
    outcomes = asked(run, network, "warm", Payload(up_bytes, plan.answer_bytes), lambda now_ns: SERVER_NS)
    within = [outcome for outcome in outcomes if outcome.due_ns < SECONDS * SECOND_NS]
    return {
        "network": network.title,
        "asked_s": [round(outcome.due_ns / SECOND_NS, 3) for outcome in within],
        "answer_ms": [round(outcome.total_ms, 3) if outcome.breakdown else None for outcome in within],
        "capacity_mbit": {
            direction.value: _by_second(capacity)
            for direction, capacity in network.profile.capacities(plan.seed, network.recorded).items()
        },
    }


def _by_second(capacity: Capacity) -> list[float]:
    """Return the megabits that may pass in each second."""
    bits = [capacity.bits_until(second * SECOND_NS) for second in range(SECONDS + 1)]
    return [round((later - sooner) / MBIT, 3) for sooner, later in pairwise(bits)]
