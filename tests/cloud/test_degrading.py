"""Under pressure a running service leaves parts out and says so, refuses before it queues, and comes back; work for a
caller who has gone is dropped."""

import socket
import threading
import time
from collections.abc import Callable

import pytest
from support.asking import answer, post, query
from support.service import Service

from sightline_cloud.pressure import Level, Pressure
from sightline_shared.protocol import MEDIA_TYPE, Decision


def until(holds: Callable[[], bool], seconds: float = 30) -> None:
    """Wait until something holds, or fail."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come to hold"
        time.sleep(0.01)


def hold_searches(service: Service, monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Have every search wait until the event that is returned is set."""
    let_go = threading.Event()
    shard = service.engine.primary.indexes.shards[0]
    honest = shard.search

    def held(*arguments):
        let_go.wait(60)
        return honest(*arguments)

    monkeypatch.setattr(shard, "search", held)
    return let_go


def at_level(monkeypatch: pytest.MonkeyPatch, level: Level) -> None:
    monkeypatch.setattr(Pressure, "level", property(lambda self: level))


@pytest.fixture
def filled(start: Callable[..., Service]) -> Service:
    """A service with fifteen items, whose ladder goes all the way."""
    begun = start(degrade_at_most=len(Level) - 1, search_threads=1)
    for number in range(15):
        assert begun.add(number).status_code == 200
    return begun


@pytest.mark.parametrize("level", list(Level))
def test_each_step_leaves_out_what_it_says_and_the_answer_names_it(filled, monkeypatch, level: Level) -> None:
    asked = []
    shard = filled.engine.primary.indexes.shards[0]
    honest = shard.search
    monkeypatch.setattr(shard, "search", lambda *arguments: asked.append(arguments[-1]) or honest(*arguments))
    at_level(monkeypatch, level)
    got = answer(filled, query(filled, 4, k=20, deadline_ms=60_000))
    assert got.versions.get("degraded") == (str(int(level)) if level else None)
    assert asked == [level.effort]
    assert len(got.matches) == (10 if level >= Level.SHORT else 15)
    assert got.matches[0].id == "item/4" and got.decision is Decision.FOUND
    assert ("rank.duplicates" in got.stages_ms) == (level < Level.NO_DIVERSITY)


def test_what_was_found_with_less_effort_is_not_kept_for_better_times(service, monkeypatch) -> None:
    with monkeypatch.context() as pressed:
        at_level(pressed, Level.QUARTER_FAN_OUT)
        answer(service, query(service, 4, deadline_ms=60_000))
    whole = answer(service, query(service, 4, deadline_ms=60_000))
    assert "search" in whole.stages_ms and "degraded" not in whole.versions


def test_a_queue_that_is_too_long_is_refused_with_503_and_retry_after_before_it_is_joined(start, monkeypatch) -> None:
    filled = start(search_threads=1)  # without the ladder, which would refuse sooner
    let_go = hold_searches(filled, monkeypatch)
    filled.engine.pressure._service_ms = 300.0  # what searches took before
    try:
        answers = [_post_aside(filled) for _ in range(8)]
        until(lambda: filled.engine.pressure.stats()["waiting"] == 7)
        refused = post(filled, query(filled, 4, deadline_ms=1000))
    finally:
        let_go.set()
    assert refused.status_code == 503 and int(refused.headers["retry-after"]) >= 1
    for thread in answers:
        thread.join(60)
    stats = filled.engine.pressure.stats()
    assert (stats["waiting"], stats["running"], stats["shed"]) == (0, 0, 1)


def test_under_pressure_it_goes_down_the_ladder_and_comes_back_by_itself(filled, monkeypatch) -> None:
    let_go = hold_searches(filled, monkeypatch)
    filled.engine.pressure._service_ms = 50.0
    threads = [_post_aside(filled) for _ in range(6)]
    until(lambda: filled.engine.pressure.level >= Level.HALF_FAN_OUT)
    let_go.set()
    for thread in threads:
        thread.join(60)
    until(lambda: filled.engine.pressure.level is Level.FULL, 120)


def test_a_query_whose_caller_has_gone_is_not_worked_on(filled, monkeypatch) -> None:
    let_go = hold_searches(filled, monkeypatch)
    working = _post_aside(filled)
    until(lambda: filled.engine.pressure.stats()["running"] == 1)
    host, port = filled.url.removeprefix("http://").split(":")
    content = query(filled, 5, deadline_ms=20_000)
    head = f"POST /v1/search HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {filled.key}\r\ncontent-length: {len(content)}\r\n\r\n"
    with socket.create_connection((host, int(port))) as gone:
        gone.sendall(head.encode() + content)
        until(lambda: filled.engine.pressure.stats()["waiting"] == 1)
    until(lambda: filled.engine.pressure.stats()["waiting"] == 0)
    assert filled.engine.pressure.stats()["running"] == 1, "the one that somebody waits for goes on"
    let_go.set()
    working.join(60)


def _post_aside(service: Service) -> threading.Thread:
    """Ask in a thread of its own, with 20 s of time."""
    body = query(service, 4, deadline_ms=20_000)

    def ask() -> None:
        with service.http() as http:
            http.post("/v1/search", content=body, headers={"content-type": MEDIA_TYPE}, timeout=60)

    thread = threading.Thread(target=ask)
    thread.start()
    return thread
