"""Campaigns in virtual time: independent instants, open arrivals, a stall that everybody meets, the same bytes for a seed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sightline_bench.load.schedule import Phase, poisson
from sightline_bench.netsim.capacity import MBIT, ConstantRate, Stalled
from sightline_bench.netsim.cell import Cell
from sightline_bench.netsim.clock import MS_NS, SECOND_NS, VirtualTime
from sightline_bench.netsim.connection import Connection
from sightline_bench.netsim.exchange import Exchange, Payload
from sightline_bench.netsim.figures import summary
from sightline_bench.netsim.link import Link
from sightline_bench.netsim.profiles import shipped_profiles
from sightline_bench.netsim.radio import Direction, RadioState
from sightline_bench.netsim.stack import STACKS, Session
from sightline_bench.netsim.virtual import PATIENCE_NS, Rest, Setup, device, fleet
from sightline_bench.netsim.wire import Wire

BOOK = shipped_profiles()


def setup(profile: str = "lte", rest: Rest = Rest.ACTIVE, **changes) -> Setup:
    chosen = BOOK.named(profile)
    wanted = {
        "stack": STACKS["http2"],
        "session": Session.WARM,
        "payload": Payload(96, 2000),
        "service_ns": lambda now_ns: 5 * MS_NS,
    }
    return Setup(radio=chosen.radio, rest=rest, srtt_ns=round(chosen.round_trip_ms * MS_NS), **(wanted | changes))


def due(per_second: float, seconds: float, seed: int = 1) -> list[int]:
    return [round(at * SECOND_NS) for at in poisson([Phase(per_second, seconds)], seed)]


def stalled(begin_s: int, stall_ms: int) -> Cell:
    """12 Mbit/s with 40 ms, and nothing comes down from `begin_s` on for `stall_ms`."""
    down = Stalled(ConstantRate(12 * MBIT), begin_s * SECOND_NS, stall_ms * MS_NS)
    up = Link(ConstantRate(12 * MBIT), propagation_ns=20 * MS_NS)
    return Cell({Direction.UP: up, Direction.DOWN: Link(down)}, 20 * MS_NS)


def closed_loop(cell: Cell, asked: Setup, n: int) -> list[float]:
    """What someone measures who asks again when the answer is there: the way not to do it."""
    time, ms = VirtualTime(), []
    for _ in range(n):
        connection = Connection(
            Wire(time, cell, RadioState(asked.radio, used_ns=time.now_ns)), asked.stack, asked.session, asked.srtt_ns
        )
        exchange = Exchange(connection, asked.payload, lambda now_ns: asked.service_ns(0))
        exchange.begin()
        time.run()
        ms.append(exchange.result.total_ns / MS_NS)
    return ms


def test_a_constant_network_answers_every_device_alike() -> None:
    profile = BOOK.named("slow4g")
    found = device(profile.cell(1), setup("slow4g"), range(50), 10 * SECOND_NS, seed=1)
    assert len({outcome.breakdown for outcome in found}) == 1
    one = found[0].breakdown
    # Up: 96 + 10 + 18 + 22 + 52 at 750 kbit/s. Down: 2,000 + 6 + 24 + 18 + 22 is two packets at 1.6 Mbit/s.
    assert one.uplink_ns == 75 * MS_NS + 8 * 198 * 1_000_000 // 750
    assert one.downlink_ns == 75 * MS_NS + 8 * (2070 + 104) * 1_000_000 // 1600
    assert one.server_ns == 5 * MS_NS and one.total_ns == one.uplink_ns + one.downlink_ns + 5 * MS_NS


def test_an_idle_radio_adds_its_promotion_and_a_dozing_one_nothing_upwards() -> None:
    totals = {
        rest: device(BOOK.named("slow4g").cell(1), setup("slow4g", rest), range(1), SECOND_NS, seed=1)[0].breakdown
        for rest in Rest
    }
    assert totals[Rest.IDLE].wake_ns == 270 * MS_NS and totals[Rest.ACTIVE] == totals[Rest.DOZING]
    assert totals[Rest.IDLE].total_ns - totals[Rest.ACTIVE].total_ns == 270 * MS_NS


def test_devices_ask_at_every_time_of_a_trace() -> None:
    found = device(BOOK.named("lte-driving").cell(1), setup("lte-driving"), range(300), 300 * SECOND_NS, seed=1)
    phases = np.array([outcome.due_ns % (300 * SECOND_NS) for outcome in found]) / SECOND_NS
    counts = np.histogram(phases, bins=6, range=(0, 300))[0]
    assert counts.min() > 25 and counts.max() < 80
    ms = np.array([outcome.total_ms for outcome in found])
    assert ms.min() > 55 and np.percentile(ms, 95) > 1.5 * np.percentile(ms, 50)


def test_a_stall_of_one_second_is_met_by_everybody_who_asks_in_it() -> None:
    """A tenth of the arrivals fall into the second: p95 is half a second late. Whoever waits for answers asks once in it."""
    arrivals = due(per_second=50, seconds=10)
    outcomes = fleet(stalled(begin_s=4, stall_ms=1000), setup(), arrivals, seed=1)
    open_ms = np.array([outcome.total_ms for outcome in outcomes])
    calm_ms = np.array([o.total_ms for o in fleet(stalled(begin_s=4, stall_ms=0), setup(), arrivals, seed=1)])
    assert np.percentile(calm_ms, 95) < 60
    assert np.percentile(open_ms, 95) == pytest.approx(np.percentile(calm_ms, 95) + 500, abs=150)
    assert open_ms.max() > 950
    # The same network, asked by one who waits for each answer before asking again: the stall is one sample of many.
    closed_ms = np.array(closed_loop(stalled(begin_s=4, stall_ms=1000), setup(), len(arrivals)))
    assert np.percentile(closed_ms, 95) < 60 and closed_ms.max() > 950


def test_a_fleet_shares_one_queue() -> None:
    profile = BOOK.named("slow4g")
    busy = fleet(profile.cell(1), setup("slow4g", payload=Payload(40_000, 500)), due(1.5, 60), seed=1)
    alone = device(profile.cell(1), setup("slow4g", payload=Payload(40_000, 500)), range(1), SECOND_NS, seed=1)
    waited = [outcome.breakdown.queue_ns for outcome in busy if outcome.breakdown]
    assert max(waited) > 100 * MS_NS and alone[0].breakdown.queue_ns == 0
    assert np.median([outcome.total_ms for outcome in busy]) > alone[0].total_ms


def test_a_network_that_passes_nothing_is_a_miss_and_not_a_hang() -> None:
    outcomes = fleet(stalled(begin_s=0, stall_ms=3_600_000), setup(), due(5, 2), seed=1)
    assert outcomes and all(outcome.breakdown is None for outcome in outcomes)
    found = summary(outcomes)
    assert found["unanswered"] == len(outcomes) and found["max_ms"] is None
    assert found["miss_200_ms"]["value"] == 1 and found["stages_ms"] == {}
    one = device(stalled(begin_s=0, stall_ms=3_600_000), setup(), range(2), SECOND_NS, seed=1)
    assert one[1].due_ns - one[0].due_ns >= PATIENCE_NS


def test_the_figures_are_those_of_the_outcomes() -> None:
    outcomes = device(BOOK.named("lte").cell(1), setup(rest=Rest.IDLE), range(200), 10 * SECOND_NS, seed=1)
    found = summary(outcomes)
    totals = np.array([outcome.total_ms for outcome in outcomes])
    assert list(found["ms"]) == ["p50", "p90", "p95"] and found["n"] == 200
    assert found["ms"]["p95"]["value"] == pytest.approx(np.sort(totals)[189], abs=0.001)
    low, high = found["ms"]["p95"]["interval"]
    assert low <= found["ms"]["p95"]["value"] <= high
    assert sum(found["stages_ms"].values()) == pytest.approx(totals.mean(), abs=0.01)
    assert found["stages_ms"]["wake"] == pytest.approx(270, abs=0.001) and found["miss_200_ms"]["value"] == 1
    # From the first packet's wish to be sent until the answer.
    assert found["radio_ms"] == pytest.approx(totals.mean(), abs=0.01)
    # The query, in half of the cases once more (a timer of 255 ms or more fires while the radio wakes), and acknowledgements.
    assert 3 <= found["packets"]["up"] <= 5 and found["bytes"]["up"] > 198 + 2 * 52


def run(seed: int) -> bytes:
    """A run with everything that is random in it."""
    cell = BOOK.named("lte-ucc").cell(seed)
    outcomes = fleet(cell, setup("lte-ucc", Rest.IDLE, payload=Payload(40_000, 2000)), due(4, 30, seed), seed)
    return json.dumps(summary(outcomes), sort_keys=True).encode()


def test_the_same_seed_gives_the_same_bytes_in_another_process_too() -> None:
    code = "import sys; sys.path[:0] = sys.argv[1:]; from test_virtual import run; sys.stdout.buffer.write(run(7))"
    here = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, "-c", code, str(here), str(here.parents[1])],
        capture_output=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "123"},
    )
    assert run(7) == done.stdout and run(7) != run(8)
