"""A device's queries are spread over many made traces, and what they say is no surer than those traces allow."""

from dataclasses import fields, replace

import numpy as np
import pytest

from sightline_bench.netsim import strategies
from sightline_bench.netsim.clock import SECOND_NS
from sightline_bench.netsim.exchange import Payload
from sightline_bench.netsim.percentiles import percentile_estimates, share_estimate
from sightline_bench.netsim.profiles import Profile, shipped_profiles
from sightline_bench.netsim.radio import Direction
from sightline_bench.netsim.table import TRACES, Network, Plan, asked
from sightline_bench.netsim.times import Times
from sightline_bench.netsim.traces import RateTrace

BOOK = shipped_profiles()
WALKING = Network.of(BOOK.named("lte-walking"))


def totals(plan: Plan, network: Network = WALKING) -> list[float]:
    return [outcome.total_ms for outcome in asked(plan, network, "warm", Payload(102, 1000), lambda now_ns: 0)]


def test_each_group_is_asked_in_a_trace_of_its_own() -> None:
    plan = Plan([WALKING], ["warm"], n=2 * TRACES, seed=3)
    # 64 bytes all twenty times: what differs is the trace and the instant.
    assert len(set(totals(plan)[::2])) > TRACES // 2
    assert totals(plan) == totals(plan) != totals(replace(plan, seed=4))
    # The groups' networks are those of the seeds 60 to 79.
    seeds = []

    class Noted(Profile):
        def cell(self, seed, recorded=None):
            seeds.append(seed)
            return super().cell(seed, recorded)

    noted = Noted(**{each.name: getattr(WALKING.profile, each.name) for each in fields(WALKING.profile)})
    assert totals(plan, Network.of(noted)) == totals(plan) and seeds == list(range(60, 80))


def test_there_is_one_group_where_there_is_one_network() -> None:
    recorded = Network.of(WALKING.profile, {way: RateTrace("t", np.ones(9)) for way in Direction})
    device, fleet = Plan([], [], n=1000), Plan([], [], n=1000, per_second=2.0)
    assert device.groups(WALKING) == TRACES and Plan([], [], n=7).groups(WALKING) == 7
    for plan, network in ((device, recorded), (device, Network.of(BOOK.named("lte"))), (fleet, WALKING)):
        assert plan.groups(network) == 1
    assert recorded.round_ns == 9 * SECOND_NS


def test_groups_that_differ_make_an_interval_wide() -> None:
    # Twenty traces, one of them slow: fifty queries each say no more than one does.
    ms = np.repeat([10.0] * 19 + [500.0], 50) + np.linspace(0, 1, 1000)
    low, high = percentile_estimates(ms, groups=20)["p95"]["interval"]
    assert low < 12 and high > 400
    assert share_estimate(ms > 200, groups=20)["interval"][1] >= 0.15
    assert share_estimate(ms > 200)["interval"][1] < 0.15


def test_what_needs_no_network_is_known_as_well_as_it_was_measured() -> None:
    # A thousand draws of two hundred measured times: their p95 may be said, not their p99.
    times = Times(*(np.linspace(1, 9, 200) for _ in range(6)))
    plan = Plan([Network.of(BOOK.named("slow4g"))], ["warm"], n=1000)
    row = strategies.measure(plan, ["cached", "code"], times, lambda: None)[0]["slow4g"]["warm"]
    assert list(row["cached"]["final"]["ms"]) == ["p50", "p90", "p95"] and "p99" in row["code"]["final"]["ms"]
    assert row["code"]["final"]["max_ms"] >= row["code"]["final"]["ms"]["p99"]["value"]


def test_stages_add_up_to_the_mean_of_the_answered_where_some_are_not() -> None:
    times = Times(*(np.array([ms, 3 * ms]) for ms in (6.0, 4.0, 1.0, 7.0, 5.0, 2.0)))
    # Twenty seconds of 10 Mbit/s, then none for eighty: patience ends before it comes back.
    trace = RateTrace("outage", np.array([10.0] * 20 + [0.0] * 80))
    network = Network.of(BOOK.named("slow4g"), dict.fromkeys(Direction, trace))
    found, samples = strategies.measure(Plan([network], ["warm"], n=200), ["code"], times, lambda: None)
    cell = found[network.name]["warm"]["code"]
    answered = [ms for ms in samples[f"{network.name} code ms"] if ms is not None and np.isfinite(ms)]
    assert 0 < cell["unanswered"] == 200 - len(answered)
    assert sum(cell["stages_ms"].values()) == pytest.approx(np.mean(answered), abs=0.02)
