"""Made traces have the published statistics that they are made from, and radios those of the packs' probes."""

import csv
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from sightline_bench.netsim.clock import MS_NS, SECOND_NS
from sightline_bench.netsim.profiles import shipped_profiles
from sightline_bench.netsim.radio import Direction, RadioState
from sightline_bench.netsim.synthetic import Stalls, TraceShape, synthetic_trace
from sightline_bench.netsim.traces import OpportunityTrace, RateTrace, read_trace
from sightline_shared.errors import ConfigInvalid

SHAPES = shipped_profiles().shapes
# Longer than a recording, so that what differs is the model and not the luck of a seed.
SECONDS = 900


def statistics(name: str) -> dict[str, float]:
    """What a long made trace is like."""
    trace = synthetic_trace(SHAPES[name], SECONDS, seed=1)
    if isinstance(trace, RateTrace):
        rates, gaps = trace.mbit, np.zeros(0)
    else:
        rates = np.bincount(trace.times_ms // 1000, minlength=SECONDS)[:SECONDS] * 0.012
        gaps = np.diff(trace.times_ms)
    low, middle, high = np.percentile(rates, [5, 50, 95])
    ranks = np.argsort(np.argsort(rates))
    return {
        "mean": float(rates.mean()),
        "p5": float(low),
        "p50": float(middle),
        "p95": float(high),
        "correlation": float(np.corrcoef(ranks[:-1], ranks[1:])[0, 1]),
        "stalls_a_minute": float((gaps > 100).sum()) * 60 / SECONDS,
    }


@pytest.mark.parametrize("name", SHAPES)
def test_a_made_trace_has_its_published_statistics(name: str) -> None:
    shape, found = SHAPES[name], statistics(name)
    assert found["mean"] == pytest.approx(shape.mean_mbit, rel=0.11)
    assert found["p50"] == pytest.approx(shape.p50_mbit, rel=0.03)
    assert found["p95"] == pytest.approx(shape.p95_mbit, rel=0.03)
    assert found["p5"] == pytest.approx(shape.p5_mbit, rel=0.05, abs=0.02 * shape.p50_mbit)
    assert found["correlation"] == pytest.approx(shape.correlation, abs=0.08)
    if shape.stalls:
        assert found["stalls_a_minute"] == pytest.approx(60 * shape.stalls.per_second, rel=0.1, abs=0.1)


def test_a_quantile_by_hand() -> None:
    shape = TraceShape("x", "s", p5_mbit=1, p50_mbit=2, p95_mbit=8, correlation=0.5, mean_mbit=3.9)
    # Halfway up in ranks is halfway up in the logarithm: 4; below the median it is halfway in the rate: 1.5.
    assert shape.mbit_at(0.725) == pytest.approx(4) and shape.mbit_at(0.275) == pytest.approx(1.5)
    assert [shape.mbit_at(q) for q in (0, 0.05, 0.5, 0.95)] == pytest.approx([0, 1, 2, 8])
    # 0.05 / 2 + 0.45 x 1.5 + 0.45 x 6 / ln 4 + 0.05 x (8 + most) / 2 = 3.9 gives 42.0940.
    assert shape.most_mbit == pytest.approx(42.0940, abs=1e-3)


def test_a_stall_is_100_ms_at_least_and_the_longest_is_as_rare_as_published() -> None:
    stalls = Stalls(count=63, longest_ms=6400, seconds=100)  # 64 = 6400 / 100: a Pareto of shape 1
    assert stalls.length_ms(1.0) == 100 and stalls.length_ms(1 / 2) == 200 and stalls.length_ms(1 / 64) == 6400
    assert stalls.length_ms(1e-9) == 12_800  # cut off at twice the longest


def test_a_seed_is_a_trace_and_another_is_another() -> None:
    shape = SHAPES["verizon-lte-short.down"]

    def times(seed: int) -> list[int]:
        trace = synthetic_trace(shape, 20, seed)
        assert isinstance(trace, OpportunityTrace)
        return trace.times_ms.tolist()

    assert times(1) == times(1) != times(2)
    assert times(1) == sorted(times(1)) and times(1)[-1] == 20_000


def test_a_length_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(ConfigInvalid, match="1 to 3600 seconds, got 0"):
        synthetic_trace(SHAPES["verizon-lte-short.down"], 0, 1)


def test_shapes_are_those_of_the_packs_traces(packs: Path) -> None:
    folder = packs / "network" / "traces"
    for name, shape in SHAPES.items():
        (path,) = folder.glob(f"{name}.*.gz")
        trace = read_trace(path, Direction.DOWN)
        if isinstance(trace, RateTrace):
            assert np.percentile(trace.mbit, [50, 95]) == pytest.approx([shape.p50_mbit, shape.p95_mbit], rel=0.01)
            assert trace.mbit.mean() == pytest.approx(shape.mean_mbit, rel=0.01)
            continue
        found = trace.statistics()
        assert found.mean_mbit == pytest.approx(shape.mean_mbit, rel=0.01)
        assert [found.p50_mbit, found.p95_mbit] == pytest.approx([shape.p50_mbit, shape.p95_mbit], rel=0.03)
        if shape.stalls:
            assert (found.gaps_over_100ms, found.max_gap_ms) == (shape.stalls.count, shape.stalls.longest_ms)


# Carrier and radio of a probe; ours; the idle seconds from which it is idle by the probes; those in which it dozes.
PROBES = [
    ("Verizon_4G", "lte", "12", ("2", "5")),
    ("TMobile_4G", "lte-tmobile", "12", ("0.5", "2")),
    ("TMobile_NSA", "nsa", "12", ("0.5", "2", "5")),
    ("Verizon_NSAlow", "nsa", "12", ("0.5", "2", "5")),
    ("TMobile_SA", "sa", "12", ("0.5", "2", "5")),
]


@pytest.mark.parametrize(("probe", "radio", "idle", "dozing"), PROBES, ids=[each[0] for each in PROBES])
def test_radios_wait_as_the_packs_probes_did(
    packs: Path, probe: str, radio: str, idle: str, dozing: tuple[str, ...]
) -> None:
    """The server sends after a pause, the phone answers: the round trip when active, and what the radio adds."""
    rows = defaultdict(list)
    with open(packs / "network" / "measured" / "rrc_probe_summary.csv", newline="") as file:
        for row in csv.DictReader(file):
            if row["carrier_radio"] == probe:
                rows[row["idle_lo_s"]].append([float(row[f"rtt_p{level}_ms"]) for level in (5, 50, 95)])
    active_ms = np.mean([each[1] for each in rows["0"]])

    def ours(pause_s: float) -> list[float]:
        waits = []
        for phase in range(0, 1280, 7):
            state = RadioState(shipped_profiles().radios[radio], used_ns=0, phase_ns=phase * MS_NS)
            at = round(pause_s * SECOND_NS)
            waits.append((state.gate(at, Direction.DOWN) - at) / MS_NS + active_ms)
        return np.percentile(waits, [5, 50, 95]).tolist()

    measured = np.mean([each for pause in dozing for each in rows[pause]], axis=0)
    assert ours(4.0) == pytest.approx(measured.tolist(), rel=0.25)
    after_long = np.mean(rows[idle], axis=0)
    assert ours(16.0)[1:] == pytest.approx(after_long[1:].tolist(), rel=0.12)


def test_a_shape_of_too_many_packets_is_refused_before_they_are_made() -> None:
    shape = TraceShape("fast", "made up", 1e5, 1e5, 1e5, 0.5, stalls=Stalls(2, 300, 60))
    with pytest.raises(ConfigInvalid, match="shape fast: expected a trace of at most 4000000 packets, got 2437500000"):
        synthetic_trace(shape, 300, 1)
