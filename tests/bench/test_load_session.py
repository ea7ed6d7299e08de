"""`bench load`'s runs against simulated servers, whose knees are known: one core, a fixed time a request, no shedding."""

from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest

from sightline_bench.load import session
from sightline_bench.load.generator import GONE, Shots
from sightline_bench.load.outcome import Reply
from sightline_bench.load.session import PLAIN, SERVICE, Plan, Session
from sightline_bench.load.target import Target

# Milliseconds that a request takes: at most 100 and 200 requests a second, if they came evenly.
TAKES_MS = {SERVICE: 10.0, PLAIN: 5.0}


def simulated(address: float, requests, due: np.ndarray, picks: np.ndarray, *, patience_s: float, tick) -> Shots:
    """First come, first served; `address` is what a request takes. Who has waited `patience_s` is not waited for."""
    done, free = np.empty(len(due)), 0.0
    for row, at in enumerate(due.tolist()):
        free = max(free, at) + address / 1000
        done[row] = free
    gone = done - due > patience_s
    ticks = np.arange(0, due[-1] + 2)
    cpu = np.searchsorted(done, ticks) * address / 1000
    return Shots(
        due=due,
        picks=picks,
        sent=due.copy(),
        done=np.where(gone, np.nan, done),
        status=np.where(gone, GONE, 200),
        size_bytes=np.full(len(due), 1000),
        bodies=[b""] * len(due),
        ticks=list(zip(ticks.tolist(), cpu.tolist(), strict=True)),
        cpu_s=len(due) * 1e-4,
    )


@pytest.fixture(scope="module")
def measured() -> Iterator[dict]:
    targets = [
        Target(name, SimpleNamespace(address=ms, cpu_s=float), (b"request",), lambda body, pick: Reply(()))
        for name, ms in TAKES_MS.items()
    ]
    bare = SimpleNamespace(time=lambda count: np.full((count, 2), 0.5))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "fire", simulated)
        patch.setattr(session, "settled", lambda target, limit_s: True)
        patch.setattr(session, "idle_cpu_ms", lambda server: 0.0)
        found, _ = Session(targets, bare, Plan(), lambda text: None).run()
    return found


def test_the_knee_of_a_queue_is_found_below_its_capacity(measured: dict) -> None:
    # M/D/1: with c the root of rho (e^c - 1) = c, the share that waits longer than t falls as e^(-c t); 1 % wait 4 services
    # (40 ms) at rho = 0.57, and 9 services of 5 ms at 0.78.
    for name, truth in ((SERVICE, 57), (PLAIN, 156)):
        assert measured["search"][name]["per_second"] == pytest.approx(truth, rel=0.15)
        assert measured["knee_per_s"][name] == pytest.approx(truth, rel=0.2)
    assert measured["undegraded_knee_per_s"] == measured["knee_per_s"] and measured["began_degraded"] == []


def test_rates_around_both_knees_are_measured_and_none_far_beyond_a_servers_own(measured: dict) -> None:
    tables, knees = measured["tables"], {name: measured["search"][name]["per_second"] for name in TAKES_MS}
    own, other = ([row["rate"] for row in tables[name]] for name in (SERVICE, PLAIN))
    assert own == sorted(own) and other == sorted(other) and set(own) < set(other)
    for name, rates in ((SERVICE, own), (PLAIN, other)):
        assert knees[name] in rates and 1.2 * knees[name] < rates[-1] <= 2 * knees[name]
    assert [row["rate"] for row in measured["ratios"]] == own
    lowest, highest = tables[SERVICE][0], tables[SERVICE][-1]
    assert not highest["holds"] and lowest["holds"] and lowest["ms"]["p50"] == pytest.approx(10, rel=0.2)


def test_cpu_and_ratios_are_those_of_the_servers(measured: dict) -> None:
    lowest = measured["ratios"][0]
    assert measured["tables"][SERVICE][0]["server_cpu_ms"] == pytest.approx(10, rel=0.02)
    assert lowest["over_plain"]["server_cpu_ms"]["value"] == pytest.approx(2, rel=0.02)
    assert lowest["over_plain"]["p50_ms"]["value"] == pytest.approx(2, rel=0.2)
    assert lowest["server_cpu_over_bare_index"][SERVICE]["value"] == pytest.approx(20, rel=0.02)


def test_twice_the_knee_without_shedding_answers_nobody_in_time_and_recovers_late(measured: dict) -> None:
    overload = measured["overload"][PLAIN]
    assert overload["per_second"]["during"] == pytest.approx(2 * measured["search"][PLAIN]["per_second"], abs=0.2)
    assert overload["before"]["holds"] and not overload["during"]["holds"]
    assert overload["during"]["shares"]["gone"] > 0.5 > overload["during"]["shares"]["good"]
    # It goes on with what nobody waits for any more.
    assert overload["recovery_s"] is None or overload["recovery_s"] > 5


def test_a_generator_that_is_late_is_tried_again_and_the_least_late_run_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    late_s = iter([0.03, 0.01, 0.02])

    def late(address, requests, due, picks, *, patience_s, tick) -> Shots:
        shots = simulated(address, requests, due, picks, patience_s=patience_s, tick=tick)
        shots.sent[:] = due + next(late_s)
        return shots

    monkeypatch.setattr(session, "settled", lambda target, limit_s: False)
    monkeypatch.setattr(session, "fire", late)
    server = SimpleNamespace(address=1.0, cpu_s=float)
    target = Target("fake", server, (b"",), lambda body, pick: Reply(()))
    run = Session([target], SimpleNamespace(), Plan(), lambda text: None)
    sample = run._fire(target, [session.Phase(50, 4)], "run")
    assert sample.late_ms == pytest.approx(10) and sample.generator_was_late
    assert run._degraded_before == ["run"] * 3
