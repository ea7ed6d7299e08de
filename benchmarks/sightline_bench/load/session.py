"""The runs: each server's knee, then the same rates for both in turn, then twice its knee for each."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sightline_bench.load import figures
from sightline_bench.load.bare import Bare
from sightline_bench.load.generator import fire
from sightline_bench.load.knee import grid, knee
from sightline_bench.load.sample import Floats, Sample, joined, sample_of, spread, summary
from sightline_bench.load.schedule import Phase, poisson
from sightline_bench.load.target import Server, Target, settled

SERVICE, PLAIN = "sightline", "plain"
# A late generator gets another try, and the least late of them counts.
TRIES = 3
BARE_BLOCK = 200
# Far beyond its knee there is nothing more to learn of a server, and the service takes minutes to climb back.
BEYOND = 2.0
PROBE_REQUESTS, MOST_PROBE_S = 1000, 20.0
IDLE_S = 2.0
# Six steps of the degrade ladder, at the 16 s that a step takes at most.
SETTLE_S = 120.0
Say = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What is asked: fixed `rates` or, without any, those around the knees. Times are seconds where no unit is named."""

    rates: tuple[float, ...] = ()
    start_rate: float = 200.0
    seconds: float = 10.0
    probe_seconds: float = 5.0
    warm_seconds: float = 1.0
    rounds: int = 3
    overload_seconds: tuple[float, float, float] = (5.0, 20.0, 20.0)
    patience_seconds: float = 1.0
    k: int = 20
    deadline_ms: int = 200
    seed: int = 0
    pinned: bool = False


class Session:
    """Servers that are up and warm, and the runs that they are put through."""

    def __init__(self, targets: Sequence[Target], bare: Bare, plan: Plan, say: Say) -> None:
        self._targets, self._bare, self._plan, self._say = targets, bare, plan, say
        self._raw: dict[str, Any] = {}
        self._degraded_before: list[str] = []

    def run(self) -> tuple[dict[str, Any], dict[str, Any]]:
        plan = self._plan
        idle = {target.name: idle_cpu_ms(target.server) for target in self._targets}
        searches: dict[str, Any] = {}
        rates = list(plan.rates)
        if not rates:
            searches = {target.name: self._search(target) for target in self._targets}
            rates = grid([searches[name]["per_second"] for name in searches], plan.start_rate)
        most = {name: BEYOND * (found["per_second"] or plan.start_rate) for name, found in searches.items()}
        tables, ratios, bare_ms = self._rounds(rates, most)
        knees = _knees(tables, "holds")
        overloads = {}
        for target in self._targets:
            # The search tells rates finer apart than the table does.
            base = searches.get(target.name, {}).get("per_second") or knees[target.name] or min(rates)
            overloads[target.name] = self._overload(target, base)
        return {
            "queries": len(self._targets[0].requests),
            "request_bytes": {t.name: float(np.mean([len(one) for one in t.requests])) for t in self._targets},
            "idle_cpu_ms_per_s": idle,
            "search": searches,
            "tables": tables,
            "knee_per_s": _knees(tables, "holds"),
            "undegraded_knee_per_s": _knees(tables, "holds_undegraded"),
            "began_degraded": self._degraded_before,
            "ratios": ratios,
            "bare_index": {"n": len(bare_ms), "cpu_ms": spread(bare_ms[:, 0]), "wall_ms": spread(bare_ms[:, 1])},
            "overload": overloads,
        }, self._raw

    def _search(self, target: Target) -> dict[str, Any]:
        """Look for the target's knee with short runs."""
        probes: list[dict[str, Any]] = []

        def holds(rate: float) -> bool:
            self._say(f"{target.name}: does it hold {rate:.0f} a second?")
            sample = self._fire(
                target, [Phase(rate, probe_seconds(rate, self._plan))], f"probe-{target.name}-{rate:.1f}"
            )
            probes.append({"rate": round(rate, 1), **summary(sample)})
            return sample.holds()

        found = knee(holds, self._plan.start_rate)
        return {"per_second": found and round(found, 1), "probes": probes}

    def _rounds(
        self, rates: Sequence[float], most: Mapping[str, float]
    ) -> tuple[dict[str, Any], list[dict[str, Any]], Floats]:
        """Ask both targets every rate in turn, with the bare index in between; returns tables, ratios, bare milliseconds.

        A target is not asked for more than `most` says.
        """
        asked = {(t.name, rate): t for rate in rates for t in self._targets if rate <= most.get(t.name, rate)}
        samples: dict[tuple[str, float], list[Sample]] = {key: [] for key in asked}
        bare: dict[float, list[Floats]] = {rate: [] for rate in rates}
        for number in range(self._plan.rounds):
            for rate in rates:
                self._say(f"round {number + 1} of {self._plan.rounds}: {rate:.0f} a second")
                # Who comes first takes turns.
                for target in self._targets[:: -1 if number % 2 else 1]:
                    if (target.name, rate) in asked:
                        name = f"{target.name}-{rate:.1f}-{number}"
                        phases = [Phase(rate, self._plan.seconds)]
                        samples[target.name, rate].append(self._fire(target, phases, name, number))
                bare[rate].append(self._bare.time(BARE_BLOCK))
        whole = {key: joined(parts) for key, parts in samples.items()}
        tables = {
            target.name: [{"rate": rate, **summary(one)} for (name, rate), one in whole.items() if name == target.name]
            for target in self._targets
        }
        both = [rate for rate in rates if all((target.name, rate) in whole for target in self._targets)]
        ratios = [self._ratios(rate, whole, np.concatenate(bare[rate])[:, 0]) for rate in both]
        return tables, ratios, np.concatenate([block for blocks in bare.values() for block in blocks])

    def _ratios(self, rate: float, whole: Mapping[tuple[str, float], Sample], bare_ms: Floats) -> dict[str, Any]:
        own, other = whole[SERVICE, rate], whole[PLAIN, rate]
        over_bare = {name: figures.cpu_against(one, bare_ms) for name, one in ((SERVICE, own), (PLAIN, other))}
        return {"rate": rate, "over_plain": figures.ratios(own, other), "server_cpu_over_bare_index": over_bare}

    def _overload(self, target: Target, base: float) -> dict[str, Any]:
        spans = self._plan.overload_seconds
        rates = (round(base / 2, 1), round(2 * base, 1))
        self._say(f"{target.name}: {rates[1]:.0f} a second for {spans[1]:g} s, between {rates[0]:.0f} before and after")
        phases = [Phase(rate, span) for rate, span in zip((rates[0], rates[1], rates[0]), spans, strict=True)]
        return figures.overload(self._fire(target, phases, f"overload-{target.name}"), rates, spans)

    def _fire(self, target: Target, phases: Sequence[Phase], name: str, number: int = 0) -> Sample:
        """Run one schedule after a warm-up at its first rate; again when the generator was late."""
        plan, seconds = self._plan, sum(phase.seconds for phase in phases)
        rng = np.random.default_rng([plan.seed, number, round(1000 * phases[0].per_second)])
        due = poisson([Phase(phases[0].per_second, plan.warm_seconds), *phases], int(rng.integers(1 << 62)))
        picks = rng.integers(0, len(target.requests), len(due))
        tried: list[Sample] = []
        while not tried or (tried[-1].generator_was_late and len(tried) < TRIES):
            if not settled(target, SETTLE_S):
                self._degraded_before.append(name)
            shots = fire(
                target.server.address,
                target.requests,
                due,
                picks,
                patience_s=plan.patience_seconds,
                tick=target.server.cpu_s,
            )
            tried.append(sample_of(shots, target.read, plan.deadline_ms / 1000, plan.warm_seconds, seconds))
        best = min(tried, key=lambda sample: float(np.percentile(sample.late_ms, 99)) if len(sample.late_ms) else 0.0)
        self._raw.update({f"{name}.{column}": getattr(best, column) for column in ("due", "ms", "outcome", "level")})
        return best


def probe_seconds(rate: float, plan: Plan) -> float:
    """Return how long a probe must last for a p99 to mean something, within limits."""
    return min(MOST_PROBE_S, max(plan.probe_seconds, float(np.ceil(PROBE_REQUESTS / rate))))


def _knees(tables: Mapping[str, Sequence[Mapping[str, Any]]], key: str) -> dict[str, float | None]:
    """Return for each server the largest rate whose row says yes to `key`."""
    return {name: max((row["rate"] for row in rows if row[key]), default=None) for name, rows in tables.items()}


def idle_cpu_ms(server: Server) -> float | None:
    """Return what the server takes of a core while nobody asks anything, in milliseconds of CPU a second."""
    before_s = server.cpu_s()
    time.sleep(IDLE_S)
    spent_ms = 1000 * (server.cpu_s() - before_s) / IDLE_S
    return round(spent_ms, 1) if np.isfinite(spent_ms) else None
