"""The real client against the real service over each network, every way to ask side by side, and the model beside each.

What client and service take themselves is measured in the same way with no network between them, before and after, and given to
the model.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sightline_bench.netsim.figures import GOAL_MS
from sightline_bench.netsim.kernel import Measured, through
from sightline_bench.netsim.percentiles import percentile_estimates, share_estimate
from sightline_bench.netsim.product import FIELDS, LEFT_OUT
from sightline_bench.netsim.profiles import NO_NETWORK, Profile
from sightline_bench.netsim.radio import Direction
from sightline_bench.netsim.schedule import Kind, schedule
from sightline_bench.netsim.shots import Shot
from sightline_bench.netsim.stack import Session
from sightline_bench.netsim.table import SITUATIONS, Network
from sightline_bench.netsim.traces import Trace
from sightline_bench.netsim.twin import Own, draws, model_seeds, own_of, told, traces_of
from sightline_bench.netsim.ways import LOCAL
from sightline_bench.stats import Floats
from sightline_shared.errors import InputError

# Of a query with no network, at most.
OWN_S = 0.05
# What a client takes to be made, and a connection to open besides round trips.
SPARE_LEAD_S = 0.15
# Where the network changes nobody knows, and an outage shall not make most of the warm queries cold ones.
TRACE_LEAD_S = 2.0
# By so much the service's own median may change between the run before and the run after.
MOVED, MOVED_MS = 0.1, 2.0
# Whose raw values a result keeps.
KEPT = ("due s", "first ms", "final ms")

Found = dict[str, dict[str, Any]]
Samples = dict[str, list[float]]
Rows = dict[str, list[float]]


@dataclass(frozen=True)
class Job:
    """What is asked on every network: each of `ways` in each of `situations`, `n` times; `data` is a folder for the services'."""

    ways: Sequence[str]
    situations: Sequence[str]
    n: int
    seed: int
    gallery: Sequence[str]
    shots: Sequence[Shot]
    data: Path

    @property
    def kinds(self) -> list[Kind]:
        return [(situation, way) for situation in self.situations for way in self.ways]


@dataclass(frozen=True)
class _Pooled:
    """What a way takes with no network: `before` the networks, `after` them, and both together."""

    whole: Own
    before: Own
    after: Own

    def to_dict(self) -> dict[str, Any]:
        """Return medians; `moved`: the machine took longer, or less, at the end than at the beginning, and the model's word is as unsure."""
        sooner, later = (_middle(own.round_trip_ms) for own in (self.before, self.after))
        moved = abs(later - sooner) > max(MOVED_MS, MOVED * sooner)
        device, service = _middle(self.whole.device_ms), _middle(self.whole.round_trip_ms)
        return {"device": device, "service": service, "service_before": sooner, "service_after": later, "moved": moved}


def _pooled(before: Mapping[Kind, Rows], after: Mapping[Kind, Rows]) -> dict[Kind, _Pooled]:
    """Return each kind's times; one that decided nothing in one of the runs has those of the other."""
    pooled = {}
    for kind in before:
        later = after.get(kind, before[kind])
        both = {name: [*values, *later[name]] for name, values in before[kind].items()}
        pooled[kind] = _Pooled(own_of(both), own_of(before[kind]), own_of(later))
    return pooled


Through = Callable[[Profile, Mapping[str, Any], int, Mapping[Direction, Trace]], Measured]


def through_tun(profile: Profile, plan: Mapping[str, Any], seed: int, traces: Mapping[Direction, Trace]) -> Measured:
    """Run a plan over TUN devices; raises InputError where there are none."""
    return through(profile, "sightline_bench.netsim.product", plan, seed, traces, profile.radio)


def compared(
    networks: Sequence[Network], job: Job, carry: Through, step: Callable[[], None], tun: bool = True
) -> tuple[Found, Samples]:
    """Return each network's figures by situation and way, and the raw milliseconds; `carry` runs a plan over a profile.

    Raises InputError where a way decides none of the photographs, as the pocket index of a small catalogue may.
    """
    runner = _Runner(job, carry, tun)
    before = runner.run(NO_NETWORK, "none, before", {}, {})[0]
    own = {kind: own_of(rows) for kind, rows in before.items()}
    missing = [f"{situation}, {way}" for situation, way in job.kinds if (situation, way) not in own]
    if missing:
        raise InputError(
            f"product: expected answers to '{missing[0]}', got none that this way decides.",
            hint="Leave it out of --strategies, or ask more often.",
        )
    step()
    runs = {}
    for network in networks:
        traces = traces_of(network.profile, network.recorded, job.seed)
        runs[network.name] = (network.profile, traces, *runner.run(network.profile, network.name, traces, own))
        step()
    owns = _pooled(before, runner.run(NO_NETWORK, "none, after", {}, {})[0])
    step()
    found: Found = {}
    for name, (profile, traces, rows, run) in runs.items():
        found[name] = {"late_p99_ms": round(run.late_ms, 3), "refused": not run.is_good}
        if run.is_good:
            cells: dict[str, dict[str, Any]] = {}
            for kind, each in rows.items():
                cell = _cell(profile, traces, kind[0], owns[kind].whole, each, job.seed)
                cells.setdefault(kind[0], {})[kind[1]] = cell | {"own_ms": owns[kind].to_dict()}
            found[name]["cells"] = cells
    return found, runner.samples


@dataclass(frozen=True, eq=False)
class _Runner:
    """Runs a job over one network after another; keeps the raw milliseconds of all."""

    job: Job
    carry: Through
    tun: bool
    samples: Samples = field(default_factory=dict)

    def run(
        self, profile: Profile, name: str, traces: Mapping[Direction, Trace], own: Mapping[Kind, Own]
    ) -> tuple[dict[Kind, Rows], Measured]:
        """Return each kind's rows, "due s" counted from where the links' time begins; a kind that decided nothing has none."""
        job = self.job
        takes_s = {kind: _takes_s(profile, traces, kind, own.get(kind), job.seed) for kind in job.kinds}
        lead_s = {kind: _lead_s(profile, kind) for kind in job.kinds}
        slots = schedule(job.kinds, takes_s, lead_s, job.n, len(job.shots), job.seed)
        data = Path(tempfile.mkdtemp(dir=job.data)) / "service"
        plan = {
            "tun": self.tun,
            "gallery": list(job.gallery),
            "shots": [asdict(shot) for shot in job.shots],
            "slots": [asdict(slot) for slot in slots],
            "data": str(data),
        }
        file = data.with_suffix(".json")
        file.write_text(json.dumps(plan))
        run = self.carry(profile, {"file": str(file)}, 2 * job.seed, traces)
        rows: dict[Kind, Rows] = {}
        for situation, way in job.kinds:
            label = f"{situation}, {way}"
            each = {part: run.ms.get(f"{label}: {part}", []) for part in (*FIELDS, LEFT_OUT)}
            if each["final ms"]:
                each["due s"] = [at_s - run.began_ns / 1e9 for at_s in each["due s"]]
                rows[situation, way] = each
                self.samples.update({f"{name}, {label}: {part}": each[part] for part in KEPT})
        return rows, run


def _takes_s(profile: Profile, traces: Mapping[Direction, Trace], kind: Kind, own: Own | None, seed: int) -> float:
    """Return what a query of a kind is expected to take: the model's median of instants that are spread over a minute."""
    if own is None:
        return OWN_S
    at_s = [3.0 * place for place in range(20)]
    final_ms = told(profile, traces, kind[0], own, at_s, model_seeds(seed, 1)).final_ms
    return min(10.0, float(np.median(final_ms)) / 1000)


def _lead_s(profile: Profile, kind: Kind) -> float:
    """Return how long before a query its connection begins to open: for a handshake and an exchange, one of three round trips to spare.

    The radio does not sleep then: it has just been used.
    """
    situation, way = kind
    if SITUATIONS[situation][0] is not Session.WARM and way not in LOCAL:
        return SPARE_LEAD_S
    changes_s = 0.0 if profile.is_constant else TRACE_LEAD_S
    return SPARE_LEAD_S + changes_s + 3 * profile.round_trip_ms / 1000


def _cell(
    profile: Profile,
    traces: Mapping[Direction, Trace],
    situation: str,
    own: Own,
    rows: Rows,
    seed: int,
) -> dict[str, Any]:
    first_ms, final_ms = np.array(rows["first ms"]), np.array(rows["final ms"])
    due_s = rows["due s"]
    model = told(profile, traces, situation, own, due_s, model_seeds(seed, draws(profile, situation, len(due_s))))
    real, twin = _answers(first_ms, final_ms), _answers(model.first_ms, model.final_ms)
    answered = np.isfinite(final_ms)
    return {
        **real,
        "model": twin,
        "model_to_real": _ratios(real["final"]["ms"], twin["final"]["ms"]),
        "bytes": {way: _mean(np.array(rows[way])[answered]) for way in ("up", "down")},
        "codes": _mean(np.array(rows["codes"])[answered]),
        "unanswered": int((~answered).sum()),
        "left_out": len(rows[LEFT_OUT]),
        "not_open": int(len(due_s) - sum(rows["open"])),
    }


def _answers(first_ms: Floats, final_ms: Floats) -> dict[str, Any]:
    return {
        name: {"ms": percentile_estimates(ms), "miss_200_ms": share_estimate(ms > GOAL_MS)}
        for name, ms in (("first", first_ms), ("final", final_ms))
    }


def _ratios(real: Mapping[str, Any], twin: Mapping[str, Any]) -> dict[str, float]:
    pairs = {level: (twin[level]["value"], real[level]["value"]) for level in real if level in twin}
    return {level: round(model / measured, 4) for level, (model, measured) in pairs.items() if model and measured}


def _mean(values: Floats) -> float | None:
    return round(float(values.mean()), 1) if len(values) else None


def _middle(values: Floats) -> float:
    return round(float(np.median(values)), 3)
