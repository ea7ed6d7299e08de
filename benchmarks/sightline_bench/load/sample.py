"""One run's measurements, request by request and second by second, and what is counted from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline_bench.load.generator import Shots
from sightline_bench.load.outcome import OK, Outcome, Read, judged
from sightline_export.evaluate import percentiles

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LEVELS = (50.0, 90.0, 95.0, 99.0)
GOAL_MS, GOAL_SHARE = 50.0, 0.99
# A generator that sends later than this has lent the service its own delay.
LATE_MS = 5.0
STEPS_A_DECADE, LEAST_MS = 20, 0.01


@dataclass(frozen=True, eq=False)
class Sample:
    """Requests by the order in which they were due: `due` in seconds, `ms` from then to the answer, NaN without one.

    `late_ms` is how much later than due each was sent. `seconds` is how long requests were due. `cpu` holds a row for each
    second of the run: CPU seconds of the server, answers then. `generator_cpu_s` is what sending and receiving all took.
    """

    due: Floats
    ms: Floats
    late_ms: Floats
    outcome: Ints
    level: Ints
    answered: NDArray[np.bool_]
    size_bytes: Ints
    cpu: Floats
    seconds: float
    generator_cpu_s: float
    troubles: Counter[str] = field(default_factory=Counter)
    connections: int = 0

    @property
    def generator_was_late(self) -> bool:
        return bool(len(self.late_ms)) and float(np.percentile(self.late_ms, 99)) > LATE_MS

    def holds(self) -> bool:
        """Return whether 99 % of all requests got a whole answer in time, and 99 % of the answers came within 50 ms."""
        if not len(self.due) or self.generator_was_late:
            return False
        good = float((self.outcome == Outcome.GOOD).mean())
        return good >= GOAL_SHARE and float((self.ms[self.answered] <= GOAL_MS).mean()) >= GOAL_SHARE


def sample_of(shots: Shots, read: Read, deadline_s: float, warm_s: float, seconds: float) -> Sample:
    """Return what `shots` say of the `seconds` after the first `warm_s`, which only warm up."""
    outcome, level = judged(shots, read, deadline_s)
    counted = shots.due >= warm_s
    answered = shots.status == OK
    return Sample(
        due=shots.due[counted] - warm_s,
        ms=1000 * (shots.done - shots.due)[counted],
        late_ms=1000 * (shots.sent - shots.due)[counted],
        outcome=outcome[counted],
        level=level[counted],
        answered=answered[counted],
        size_bytes=shots.size_bytes[counted],
        cpu=_by_second(shots, warm_s, warm_s + seconds),
        seconds=seconds,
        generator_cpu_s=shots.cpu_s / max(1, len(shots.due)) * int(counted.sum()),
        troubles=shots.troubles,
        connections=shots.connections,
    )


def joined(samples: Sequence[Sample]) -> Sample:
    """Return several runs of one rate as one that lasted as long as all of them."""
    begins = np.cumsum([0.0, *(one.seconds for one in samples)])
    return Sample(
        due=np.concatenate([one.due + begin for one, begin in zip(samples, begins, strict=False)]),
        **{name: np.concatenate([getattr(one, name) for one in samples]) for name in COLUMNS},
        seconds=float(begins[-1]),
        generator_cpu_s=sum(one.generator_cpu_s for one in samples),
        troubles=sum((one.troubles for one in samples), Counter()),
        connections=max(one.connections for one in samples),
    )


COLUMNS = ("ms", "late_ms", "outcome", "level", "answered", "size_bytes", "cpu")


def summary(sample: Sample) -> dict[str, Any]:
    """Return the figures of a run; a percentile only when the sample is large enough for it."""
    n, answers = len(sample.due), sample.ms[sample.answered]
    counts = {outcome.label: int((sample.outcome == outcome).sum()) for outcome in Outcome}
    return {
        "n": n,
        "seconds": sample.seconds,
        "offered_per_s": _round(n / sample.seconds),
        "completed_per_s": _round(len(answers) / sample.seconds),
        "goodput_per_s": _round(counts["good"] / sample.seconds),
        "shares": {name: _round(count / max(1, n), 5) for name, count in counts.items()},
        "ms": spread(answers),
        "histogram_ms": histogram(answers),
        "shed_ms": spread(sample.ms[sample.outcome == Outcome.SHED]),
        "server_cpu_ms": _cpu_ms(sample),
        "answer_bytes": _round(float(sample.size_bytes[sample.answered].mean()), 1) if len(answers) else None,
        "degraded": {str(level): int((sample.level == level).sum()) for level in np.unique(sample.level).tolist()},
        "connections": sample.connections,
        "generator": {
            "late_ms": spread(sample.late_ms),
            "late": sample.generator_was_late,
            "cpu_us": _round(1e6 * sample.generator_cpu_s / max(1, n), 1),
        },
        "troubles": dict(sample.troubles),
        "holds": sample.holds(),
        "holds_undegraded": sample.holds() and bool((sample.level[sample.answered] > 0).mean() <= 1 - GOAL_SHARE),
    }


def spread(ms: Floats) -> dict[str, float]:
    """Return percentiles and the largest of `ms`, nothing for an empty sample."""
    if not len(ms):
        return {}
    return {name: round(value, 3) for name, value in {**percentiles(ms, LEVELS), "max": float(ms.max())}.items()}


def histogram(ms: Floats) -> dict[str, int]:
    """Return how many of `ms` are in each of twenty steps a decade, by the step's lower end; empty steps are left out."""
    steps, counts = np.unique(np.floor(STEPS_A_DECADE * np.log10(np.maximum(ms, LEAST_MS))), return_counts=True)
    return {
        f"{10 ** (step / STEPS_A_DECADE):.3g}": count
        for step, count in zip(steps.tolist(), counts.tolist(), strict=True)
    }


def _cpu_ms(sample: Sample) -> float | None:
    """Return the server's CPU milliseconds an answer, its idle work included."""
    spent_s, answers = sample.cpu.sum(axis=0)
    return _round(1000 * spent_s / answers) if answers and np.isfinite(spent_s) else None


def _by_second(shots: Shots, begin: float, end: float) -> Floats:
    """Return the server's CPU seconds and its answers between one tick and the next, for those from `begin` to `end`."""
    times, spent = (np.array(column) for column in zip(*shots.ticks, strict=True))
    done = np.sort(shots.done[shots.status == OK])
    answers = np.diff(np.searchsorted(done, times)).astype(np.float64)
    rows = np.stack([np.diff(spent), answers], axis=1)
    # A tick comes within a second of the beginning, and the last one when the last answer was there.
    return rows[(times[:-1] >= begin - 0.5) & (times[:-1] < end - 0.5)]


def _round(value: float, digits: int = 3) -> float:
    return round(float(value), digits)
