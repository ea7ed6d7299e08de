"""`bench load` in parts: arrivals are Poisson, answers count as what they are, knees and recoveries are found."""

import dataclasses
from types import SimpleNamespace

import msgpack
import numpy as np
import pytest

from sightline_bench.load import batches, figures
from sightline_bench.load.generator import BROKEN, GONE, Shots
from sightline_bench.load.knee import HIGHEST, PRECISION, grid, knee
from sightline_bench.load.outcome import Outcome, Reply, judged, read_sightline
from sightline_bench.load.sample import LATE_MS, Sample, histogram, joined, summary
from sightline_bench.load.schedule import Phase, poisson
from sightline_cloud.pressure import Level
from sightline_cloud.search import versions
from sightline_shared.errors import RateLimited, ServiceBusy, ShardsMissing
from sightline_shared.protocol import Answer, Decision, Match, pack_answer

# --- the schedule


def test_arrivals_are_a_poisson_process() -> None:
    due = poisson([Phase(200, 50)], seed=3)
    gaps = np.sort(np.diff(due, prepend=0))
    # Kolmogorov-Smirnov against the exponential distribution, at the 1 % level.
    exponential = 1 - np.exp(-200 * gaps)
    steps = np.arange(1, len(gaps) + 1) / len(gaps)
    assert np.abs(exponential - steps).max() < 1.63 / len(gaps) ** 0.5
    counts = np.histogram(due, bins=500, range=(0, 50))[0]
    assert counts.mean() == pytest.approx(20, rel=0.05) and counts.var() == pytest.approx(20, rel=0.2)
    assert (np.diff(due) >= 0).all() and due[0] >= 0 and due[-1] < 50


def test_a_seed_gives_the_same_arrivals_and_another_gives_others() -> None:
    phases = [Phase(50, 2), Phase(200, 1)]
    assert np.array_equal(poisson(phases, 1), poisson(phases, 1))
    assert not np.array_equal(poisson(phases, 1), poisson(phases, 2)[: len(poisson(phases, 1))])


def test_each_phase_has_its_own_rate() -> None:
    due = poisson([Phase(100, 10), Phase(1000, 10), Phase(0, 10), Phase(100, 10)], seed=0)
    counts = np.histogram(due, bins=4, range=(0, 40))[0]
    assert counts[2] == 0 and counts[[0, 1, 3]] == pytest.approx([1000, 10_000, 1000], rel=0.1)
    assert len(poisson([], 0)) == 0


# --- outcomes

ID = bytes(range(8))


def answer_bytes(**changes: object) -> bytes:
    return pack_answer(Answer(ID, Decision.FOUND, (Match("a", 0.9), Match("b", 0.8)), **changes))


def outcomes_of(*answers: tuple[int, bytes, float]) -> tuple[list[Outcome], list[int]]:
    """The verdict on answers with this status and body after so many seconds, with a deadline of 0.2."""
    n = len(answers)
    status, bodies, done = zip(*answers, strict=True)
    zeros = np.zeros(n)
    whole = np.zeros(n, np.int64)
    shots = Shots(zeros, whole, zeros, np.array(done), np.array(status), whole, list(bodies))
    found, levels = judged(shots, lambda body, pick: read_sightline(body, ID), 0.2)
    return [Outcome(each) for each in found], levels.tolist()


@pytest.mark.parametrize(
    ("status", "body", "seconds", "expected"),
    [
        (200, answer_bytes(), 0.1, Outcome.GOOD),
        (200, answer_bytes(partial=True), 0.1, Outcome.PARTIAL),
        (200, answer_bytes(), 0.21, Outcome.LATE),
        (200, answer_bytes(partial=True), 0.21, Outcome.LATE),
        (200, pack_answer(Answer(bytes(8), Decision.FOUND)), 0.1, Outcome.ERROR),
        (200, b"\xc1", 0.1, Outcome.ERROR),
        (200, b"", 0.1, Outcome.ERROR),
        (503, msgpack.packb(ServiceBusy("x").to_dict()), 0.1, Outcome.SHED),
        (429, msgpack.packb(RateLimited("x").to_dict()), 0.1, Outcome.SHED),
        (503, b"Service Unavailable", 0.1, Outcome.SHED),
        (503, msgpack.packb(ShardsMissing("x").to_dict()), 0.1, Outcome.ERROR),
        (500, b"", 0.1, Outcome.ERROR),
        (401, b"", 0.1, Outcome.ERROR),
        (GONE, b"", float("nan"), Outcome.GONE),
        (BROKEN, b"", float("nan"), Outcome.ERROR),
    ],
)
def test_every_answer_counts_as_what_it_is(status: int, body: bytes, seconds: float, expected: Outcome) -> None:
    assert outcomes_of((status, body, seconds))[0] == [expected]


def test_the_degrade_level_is_read_as_the_service_writes_it() -> None:
    live = SimpleNamespace(bundle=SimpleNamespace(label="tiny 1"), indexes=SimpleNamespace(seq=1))
    engine = SimpleNamespace(policy=SimpleNamespace(version="1"))
    said = [versions(SimpleNamespace(live=live, engine=engine, level=level)) for level in Level]
    bodies = [answer_bytes(versions=one) for one in (*said, {"degraded": "99"}, {"degraded": "a step to come"})]
    _, levels = outcomes_of(*((200, body, 0.1) for body in bodies))
    assert levels == [*Level, 1, 1]


def test_what_is_sensitive_is_told_apart() -> None:
    assert read_sightline(pack_answer(Answer(ID, Decision.RESTRICTED)), ID).decision is Decision.RESTRICTED
    assert read_sightline(answer_bytes(), ID) == Reply(("a", "b"), decision=Decision.FOUND)


# --- samples, knees, figures


def sample(ms: np.ndarray, seconds: float, **changes: object) -> Sample:
    """Requests evenly over the time; what takes more than 200 ms is late, what takes NaN was refused."""
    n = len(ms)
    outcome = np.where(np.isnan(ms), Outcome.SHED, np.where(ms > 200, Outcome.LATE, Outcome.GOOD)).astype(np.int64)
    made = Sample(
        due=np.arange(n) * seconds / n,
        ms=ms,
        late_ms=np.zeros(n),
        outcome=outcome,
        level=np.zeros(n, np.int64),
        answered=~np.isnan(ms),
        size_bytes=np.full(n, 100),
        cpu=np.tile([0.5, n / seconds], (int(seconds), 1)),
        seconds=seconds,
        generator_cpu_s=0.1,
    )
    return dataclasses.replace(made, **changes)


def test_a_rate_holds_with_99_of_100_whole_in_time_and_within_50_ms() -> None:
    ms = np.full(1000, 10.0)
    ms[:10] = 60
    assert sample(ms, 10).holds()
    ms[10] = 51
    assert not sample(ms, 10).holds()
    ms[:11] = np.nan
    assert not sample(ms, 10).holds()
    ms[10] = 10
    assert sample(ms, 10).holds()
    assert not sample(np.full(10, np.nan), 10).holds()


def test_percentiles_are_given_only_where_there_are_enough() -> None:
    assert set(summary(sample(np.full(150, 5.0), 3))["ms"]) == {"p50", "p90", "max"}
    assert set(summary(sample(np.full(1000, 5.0), 3))["ms"]) == {"p50", "p90", "p95", "p99", "max"}
    assert summary(sample(np.full(5, np.nan), 1))["ms"] == {}


def test_what_is_reported_adds_up() -> None:
    report = summary(sample(np.array([10.0, 300.0, np.nan, 20.0]), 2))
    assert report["shares"] == {"good": 0.5, "partial": 0, "late": 0.25, "shed": 0.25, "error": 0, "gone": 0}
    assert (report["offered_per_s"], report["completed_per_s"], report["goodput_per_s"]) == (2, 1.5, 1)
    assert report["server_cpu_ms"] == 250 and report["generator"]["late_ms"]["max"] < LATE_MS


def test_a_histogram_holds_every_answer_in_steps_of_a_twentieth_of_a_decade() -> None:
    assert histogram(np.array([1.0, 1.1, 10.0, 99.0, 100.0, 0.0])) == {"0.01": 1, "1": 2, "10": 1, "89.1": 1, "100": 1}
    assert histogram(np.array([])) == {}
    report = summary(sample(np.array([10.0, 300.0, np.nan, 20.0]), 2))
    assert sum(report["histogram_ms"].values()) == 3


@pytest.mark.parametrize("truth", [3.0, 50.0, 137.0, 4000.0])
def test_the_knee_is_found_within_its_precision(truth: float) -> None:
    asked: list[float] = []

    def holds(rate: float) -> bool:
        asked.append(rate)
        return rate <= truth

    found = knee(holds, 50.0)
    assert found and found <= truth <= PRECISION * found
    assert len(asked) == len(set(asked)) < 16


def test_no_knee_where_nothing_holds_and_an_end_where_everything_does() -> None:
    assert knee(lambda rate: False, 50.0) is None
    highest = knee(lambda rate: True, 50.0)
    assert highest and HIGHEST / 2 < highest <= HIGHEST


def test_rates_are_measured_around_every_knee() -> None:
    rates = grid([100.0, 400.0], 50)
    assert rates == [25.0, 50.0, 75.0, 90.0, 100.0, 125.0, 200.0, 300.0, 360.0, 400.0, 500.0]
    assert grid([130.0, 100.0], 50) == [25.0, 50.0, 65.0, 75.0, 90.0, 100.0, 117.0, 130.0, 162.5]
    assert grid([None, None], 40)[0] == 10.0


def test_ratios_of_the_same_schedule() -> None:
    rng = np.random.default_rng(0)
    ms = rng.gamma(4, 2, 5000)
    made = figures.ratios(sample(2 * ms, 50), sample(ms, 50, cpu=np.tile([0.1, 100.0], (50, 1))))
    assert made["p50_ms"]["value"] == pytest.approx(2) and made["p99_ms"]["interval"] == pytest.approx([2, 2])
    assert made["server_cpu_ms"]["value"] == pytest.approx(5)
    few = figures.ratios(sample(ms[:100], 10), sample(ms[:100], 10))
    assert few["p99_ms"] is None and few["p50_ms"]["value"] == 1
    assert set(figures.ratios(sample(ms, 9), sample(ms, 9)).values()) == {None}
    unknown = figures.ratios(sample(ms, 50, cpu=np.full((50, 2), np.nan)), sample(ms, 50))
    assert unknown["server_cpu_ms"] is None


def test_cpu_over_the_bare_call() -> None:
    figure = figures.cpu_against(sample(np.full(1000, 10.0), 10), np.array([0.5, 1.5]))
    assert figure and figure["value"] == pytest.approx(5.0)  # 0.5 s for 100 answers, over 1 ms
    assert figures.cpu_against(sample(np.full(900, 10.0), 9), np.array([0.5, 1.5])) is None


def overloaded(shed_until: float) -> Sample:
    """100 a second for 20 s; from 5 s on every second one is refused, until `shed_until`."""
    ms = np.full(2000, 10.0)
    due = np.arange(2000) / 100
    ms[(due >= 5) & (due < shed_until) & (np.arange(2000) % 2 == 0)] = np.nan
    level = np.where((due >= 5) & (due < shed_until + 1), int(Level.SHED), 0)
    return sample(ms, 20, level=level)


def test_recovery_is_counted_from_the_fall_of_the_load() -> None:
    assert figures.recovery_s(overloaded(10.0), 10) == 0
    assert figures.recovery_s(overloaded(13.0), 10) == pytest.approx(3, abs=0.11)
    assert figures.recovery_s(overloaded(19.0), 10) is None
    assert figures.undegraded_s(overloaded(13.0), 10) == pytest.approx(4, abs=0.02)
    assert figures.undegraded_s(overloaded(19.5), 10) is None
    assert figures.undegraded_s(sample(np.full(100, 5.0), 10), 5) == 0


def test_an_overload_is_told_phase_by_phase_and_half_second_by_half_second() -> None:
    told = figures.overload(overloaded(12.0), (50, 200), (5, 5, 10))
    assert [told[name]["shares"]["shed"] for name in ("before", "during", "after")] == pytest.approx([0, 0.5, 0.1])
    assert len(told["timeline"]) == 40
    assert sum(row["n"] for row in told["timeline"]) == 2000
    assert all(row["n"] == row["good"] + row["shed"] for row in told["timeline"])
    assert told["timeline"][0]["degraded"] == 0 and told["timeline"][12]["degraded"] == Level.SHED
    assert told["during"]["degraded"] == {str(int(Level.SHED)): 500}


def test_runs_of_one_rate_are_joined_end_to_end() -> None:
    one, other = sample(np.full(100, 5.0), 2), sample(np.full(100, 7.0), 3)
    whole = joined([one, other])
    assert whole.seconds == 5 and len(whole.due) == 200 and (np.diff(whole.due) > 0).all()
    assert len(whole.cpu) == 5 and summary(whole)["n"] == 200


# --- several queries in one call


def test_every_batch_size_gets_every_query_of_a_round_once() -> None:
    asked: list[list[int]] = []
    spent = batches.measured(lambda rows: asked.append(rows.tolist()), 50, rounds=3)
    assert set(spent) == set(batches.SIZES) and all(len(us) == 3 and (us > 0).all() for us in spent.values())
    calls = sum(batches.BLOCK // size for size in batches.SIZES)
    assert len(asked) == calls * (batches.WARM_ROUNDS + 3)
    for start in range(0, len(asked), calls):
        by_size: dict[int, list[int]] = {}
        for rows in asked[start : start + calls]:
            by_size.setdefault(len(rows), []).extend(rows)
        first, *others = by_size.values()
        assert len(first) == batches.BLOCK and all(rows == first for rows in others)


def test_a_batch_that_saves_half_is_seen_to() -> None:
    one = np.linspace(90, 110, 21)
    figures = batches.summary({1: one, 8: one / 2})
    assert figures["1"]["ratio"]["value"] == 1 and figures["8"]["us"] == 50
    assert figures["8"]["ratio"]["value"] == 0.5 == figures["8"]["ratio"]["interval"][1]


def test_the_wait_for_a_batch_is_the_mean_over_its_queries() -> None:
    rng = np.random.default_rng(0)
    arrivals = np.cumsum(rng.exponential(1 / 200, 80_000)).reshape(-1, 8)
    assert batches.waits_ms(200)["8"] == pytest.approx(1000 * (arrivals[:, -1:] - arrivals).mean(), rel=0.02)
