"""`bench load`'s generator over real sockets: times count from the schedule, answers are read however they are cut."""

import asyncio
import dataclasses
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest

from sightline_bench.load.generator import BROKEN, GONE, Shots, fire
from sightline_bench.load.http1 import MAX_HEAD_BYTES, Reader, Response, request_bytes
from sightline_bench.load.outcome import Outcome, Reply
from sightline_bench.load.sample import Sample, sample_of, summary
from sightline_bench.load.schedule import Phase, poisson
from sightline_bench.load.target import Target, one_by_one, settled
from sightline_shared.errors import AnswerMalformed, ServiceFailed
from sightline_shared.protocol import MAX_ANSWER_BYTES

OK_HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"
REQUEST = request_bytes("h", "/", b"hello", {"accept": "*/*"})

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


def test_a_server_that_was_left_degraded_is_waited_for() -> None:
    asked: list[int] = []

    def read(body: bytes, number: int) -> Reply:
        asked.append(number)
        return Reply((), degraded=3 - len(asked))

    with fake_server(at_once) as address:
        target = Target("fake", SimpleNamespace(address=address), (REQUEST,), read)
        assert settled(target, 60) and len(asked) == 3
        assert not settled(dataclasses.replace(target, read=lambda body, number: Reply((), degraded=1)), 0.2)


def test_a_warm_up_is_not_counted() -> None:
    shots = shoot(at_once, np.arange(0, 2, 0.05))
    counted = sample_of(shots, lambda body, pick: Reply(()), 20, 1.0, 1.0)
    assert len(counted.due) == 20 and counted.due[0] == pytest.approx(0, abs=1e-9)
    assert len(counted.cpu) == 1
