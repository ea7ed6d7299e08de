"""`bench load` in parts: arrivals are Poisson, times count from the schedule, answers are read, knees and recoveries are found."""

import asyncio
import dataclasses
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import msgpack
import numpy as np
import pytest

from sightline_bench.load import figures
from sightline_bench.load.generator import BROKEN, GONE, Shots, fire
from sightline_bench.load.http1 import MAX_HEAD_BYTES, Reader, Response, request_bytes
from sightline_bench.load.knee import HIGHEST, PRECISION, grid, knee
from sightline_bench.load.outcome import Outcome, Reply, judged, read_sightline
from sightline_bench.load.sample import LATE_MS, Sample, histogram, joined, sample_of, summary
from sightline_bench.load.schedule import Phase, poisson
from sightline_bench.load.target import Target, one_by_one, settled
from sightline_cloud.pressure import Level
from sightline_shared.errors import AnswerMalformed, RateLimited, ServiceBusy, ServiceFailed, ShardsMissing
from sightline_shared.protocol import MAX_ANSWER_BYTES, Answer, Decision, Match, pack_answer

OK_HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"
REQUEST = request_bytes("h", "/", b"hello", {"accept": "*/*"})

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


# --- HTTP


def test_an_answer_is_whole_wherever_the_network_cuts_it() -> None:
    data = b"HTTP/1.1 503 Service Unavailable\r\nServer: x\r\nContent-Length: 5\r\nConnection: close\r\n\r\nbody!"
    for cut in range(1, len(data)):
        reader = Reader()
        assert reader.feed(data[:cut]) is None
        assert reader.feed(data[cut:]) == Response(503, b"body!", len(data), closes=True)


def test_a_connection_gives_one_answer_after_another() -> None:
    reader = Reader()
    for _ in range(3):
        assert reader.feed(OK_HEAD + b"ab") == Response(200, b"ab", len(OK_HEAD) + 2, closes=False)


@pytest.mark.parametrize(
    "data",
    [
        OK_HEAD + b"abc",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"SSH-2.0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: \xb2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (MAX_ANSWER_BYTES + 1),
        b"x" * (MAX_HEAD_BYTES + 1),
    ],
)
def test_what_is_no_answer_is_refused(data: bytes) -> None:
    with pytest.raises(AnswerMalformed):
        Reader().feed(data)


# --- the generator

Answering = Callable[[int], tuple[float, bytes | None]]


@contextmanager
def fake_server(answering: Answering) -> Iterator[tuple[str, int]]:
    """One thread, as a service with one core: for the n-th request it stands still for so long, and answers, or hangs up (None), or
    never answers (b"")."""
    count, started, told = iter(range(1 << 30)), threading.Event(), {}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await reader.readexactly(len(REQUEST))
                stall_s, answer = answering(next(count))
                if stall_s:
                    time.sleep(stall_s)
                if answer is None:
                    break
                writer.write(answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def run() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        told.update(loop=asyncio.get_running_loop(), end=asyncio.Event(), address=server.sockets[0].getsockname())
        started.set()
        await told["end"].wait()
        server.close()

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    started.wait()
    try:
        yield told["address"]
    finally:
        told["loop"].call_soon_threadsafe(told["end"].set)
        thread.join()


def at_once(number: int) -> tuple[float, bytes]:
    return 0.0, OK_HEAD + b"ab"


def shoot(answering: Answering, due: np.ndarray, patience_s: float = 20.0, tick: Callable[[], float] = float) -> Shots:
    with fake_server(answering) as address:
        return fire(address, [REQUEST], due, np.zeros(len(due), np.int64), patience_s=patience_s, tick=tick)


def plain_sample(shots: Shots, deadline_s: float = 0.2) -> Sample:
    seconds = float(np.ceil(shots.due[-1]))
    return sample_of(shots, lambda body, pick: Reply(()), deadline_s, 0.0, seconds)


def test_a_stall_of_one_second_is_seen_by_all_that_were_due_in_it() -> None:
    due, stalled = poisson([Phase(150, 3)], seed=1), 100
    shots = shoot(lambda number: (1.0 if number == stalled else 0.0, OK_HEAD + b"ab"), due)
    assert (shots.status == 200).all()
    # The server heard nobody until a second after the request that stopped it, whatever of that was due when.
    waiting = (due >= due[stalled]) & (due < due[stalled] + 1)
    assert waiting.sum() > 100
    assert (shots.done[waiting] >= due[stalled] + 1).all()
    sample = plain_sample(shots)
    assert np.percentile(sample.ms, 95) > 700 and np.percentile(sample.ms, 99) > 900
    assert (sample.outcome[due < due[stalled] + 0.7][stalled:] == Outcome.LATE).all()
    assert not sample.holds()


def test_a_closed_loop_would_have_seen_the_same_stall_once() -> None:
    with fake_server(lambda number: (1.0 if number == 100 else 0.0, OK_HEAD + b"ab")) as address:
        answers = one_by_one(address, [REQUEST] * 300)
    assert sum(ms >= 900 for _, ms in answers) == 1


def test_a_late_generator_is_measured_counted_into_the_times_and_holds_nothing() -> None:
    due, slept = np.arange(0.01, 1, 0.01), []

    def sleep_once() -> float:
        if not slept:
            slept.append(time.sleep(0.5))
        return 0.0

    shots = shoot(at_once, due, tick=sleep_once)
    early = due < 0.4
    assert (shots.sent[early] >= 0.5).all()
    sample = plain_sample(shots, deadline_s=20)
    assert (sample.late_ms[early] >= 100).all() and (sample.ms >= sample.late_ms).all()
    assert sample.generator_was_late and not sample.holds() and summary(sample)["generator"]["late"]


def test_nothing_is_sent_before_it_is_due_and_connections_are_kept() -> None:
    due = np.arange(0, 1, 0.02)
    shots = shoot(at_once, due)
    assert (shots.sent >= due).all() and (shots.done >= shots.sent).all()
    assert 1 <= shots.connections < len(due)
    assert (shots.size_bytes == len(OK_HEAD) + 2).all() and set(shots.bodies) == {b"ab"}
    assert shots.cpu_s > 0 and len(shots.ticks) >= 2


def test_requests_that_are_due_are_sent_although_nobody_answers_and_given_up_in_time() -> None:
    due = np.linspace(0, 0.3, 40)
    shots = shoot(lambda number: (0.0, b""), due, patience_s=0.5)
    assert (shots.status == GONE).all() and np.isnan(shots.done).all()
    assert shots.connections == 40 and np.isfinite(shots.sent).all()
    assert (plain_sample(shots).outcome == Outcome.GONE).all()


def test_broken_connections_and_nonsense_are_errors_with_their_reason() -> None:
    due = np.linspace(0, 0.5, 30)
    shots = shoot(lambda number: (0.0, (None, b"nonsense\r\n\r\n", OK_HEAD + b"ab")[number % 3]), due)
    assert (shots.status == BROKEN).sum() == 20 and (shots.status == 200).sum() == 10
    assert sum(shots.troubles.values()) == 20 and len(shots.troubles) == 2
    sample = plain_sample(shots, deadline_s=20)
    assert summary(sample)["shares"]["error"] == pytest.approx(2 / 3, abs=1e-4)


def test_where_nobody_listens_all_are_errors() -> None:
    with fake_server(at_once) as address:
        pass
    shots = fire(address, [REQUEST], np.linspace(0, 0.1, 5), np.zeros(5, np.int64), patience_s=2)
    assert (shots.status == BROKEN).all() and sum(shots.troubles.values()) == 5
    with pytest.raises(ServiceFailed):
        one_by_one(address, [REQUEST])


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


def test_the_degrade_level_is_read_from_the_answer() -> None:
    bodies = [answer_bytes(versions={"degraded": name}) for name in ("half_fan_out", "a step to come")]
    _, levels = outcomes_of(*((200, body, 0.1) for body in (answer_bytes(), *bodies)))
    assert levels == [0, Level.HALF_FAN_OUT, 1]


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


def test_a_warm_up_is_not_counted() -> None:
    shots = shoot(at_once, np.arange(0, 2, 0.05))
    counted = sample_of(shots, lambda body, pick: Reply(()), 20, 1.0, 1.0)
    assert len(counted.due) == 20 and counted.due[0] == pytest.approx(0, abs=1e-9)
    assert len(counted.cpu) == 1


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


def test_a_server_that_was_left_degraded_is_waited_for() -> None:
    asked: list[int] = []

    def read(body: bytes, number: int) -> Reply:
        asked.append(number)
        return Reply((), degraded=3 - len(asked))

    with fake_server(at_once) as address:
        target = Target("fake", SimpleNamespace(address=address), (REQUEST,), read)
        assert settled(target, 60) and len(asked) == 3
        assert not settled(dataclasses.replace(target, read=lambda body, number: Reply((), degraded=1)), 0.2)


def test_runs_of_one_rate_are_joined_end_to_end() -> None:
    one, other = sample(np.full(100, 5.0), 2), sample(np.full(100, 7.0), 3)
    whole = joined([one, other])
    assert whole.seconds == 5 and len(whole.due) == 200 and (np.diff(whole.due) > 0).all()
    assert len(whole.cpu) == 5 and summary(whole)["n"] == 200
