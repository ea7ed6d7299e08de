"""Ratios of two servers that were given the same schedule, and what an overload looked like, piece by piece."""

from __future__ import annotations

from typing import Any

import numpy as np

from sightline_bench.load.outcome import Outcome
from sightline_bench.load.sample import GOAL_MS, GOAL_SHARE, Floats, Sample, summary
from sightline_export.evaluate import percentiles, statistic_figure

BIN_S = 0.5
RECOVERED_S, STEP_S = 2.0, 0.1
# An interval over fewer seconds than these would be made up.
LEAST_SECONDS = 10


def ratios(own: Sample, other: Sample) -> dict[str, Any]:
    """Return what `own` takes for each of what `other` takes, at the same schedule: latency's p50 and p99, CPU an answer.

    The intervals are bootstraps over whole seconds, the same ones of both: requests of one second share a queue.
    """
    made: dict[str, Any] = {}
    for level in (50.0, 99.0):
        enough = _has(own, level) and _has(other, level)
        made[f"p{level:g}_ms"] = _ratio(own, other, level) if enough else None
    seconds = min(len(own.cpu), len(other.cpu))
    rows = np.hstack([own.cpu[:seconds], other.cpu[:seconds]])
    made["server_cpu_ms"] = statistic_figure(rows, _cpu_ratio).to_dict() if _is_known(rows) else None
    return made


def cpu_against(own: Sample, bare_ms: Floats) -> dict[str, Any] | None:
    """Return the server's CPU an answer over the bare call's mean CPU; the interval is over the server's seconds."""
    if not _is_known(own.cpu):
        return None
    mean_ms = float(bare_ms.mean())
    return statistic_figure(own.cpu, lambda rows: 1000 * float(rows[:, 0].sum() / rows[:, 1].sum()) / mean_ms).to_dict()


def timeline(sample: Sample) -> list[dict[str, Any]]:
    """Return a row for each half second: what was due then, what came of it, latencies, the highest degrade level."""
    rows = []
    for begin in np.arange(0, sample.seconds, BIN_S).tolist():
        inside = (sample.due >= begin) & (sample.due < begin + BIN_S)
        outcome, answers = sample.outcome[inside], sample.ms[inside & sample.answered]
        rows.append(
            {
                "begin_s": round(begin, 3),
                "n": int(inside.sum()),
                **{kind.label: int((outcome == kind).sum()) for kind in Outcome},
                "p50_ms": round(float(np.median(answers)), 3) if len(answers) else None,
                "max_ms": round(float(answers.max()), 3) if len(answers) else None,
                "degraded": int(sample.level[inside].max(initial=0)),
            }
        )
    return rows


def part(sample: Sample, begin: float, end: float) -> dict[str, Any]:
    """Return the summary of the requests that were due from `begin` to `end` seconds."""
    inside = (sample.due >= begin) & (sample.due < end)
    columns = {name: getattr(sample, name)[inside] for name in ("due", "ms", "late_ms", "outcome", "level", "answered")}
    cut = Sample(
        **columns,
        size_bytes=sample.size_bytes[inside],
        cpu=sample.cpu[round(begin) : round(end)],
        seconds=end - begin,
        generator_cpu_s=sample.generator_cpu_s * float(inside.mean()),
    )
    return summary(cut)


def recovery_s(sample: Sample, fell: float) -> float | None:
    """Return how many seconds after the load fell two seconds began that held the goals again; None when none did."""
    good = sample.outcome == Outcome.GOOD
    quick = sample.ms <= GOAL_MS
    for begin in np.arange(fell, sample.seconds - RECOVERED_S + STEP_S / 2, STEP_S).tolist():
        inside = (sample.due >= begin) & (sample.due < begin + RECOVERED_S)
        answered = inside & sample.answered
        if not answered.any():
            continue
        if good[inside].mean() >= GOAL_SHARE and quick[answered].mean() >= GOAL_SHARE:
            return round(float(begin - fell), 3)
    return None


def undegraded_s(sample: Sample, fell: float) -> float | None:
    """Return how many seconds after the load fell the last degraded answer was due, 0 without one; None: at the end still."""
    degraded = sample.due[(sample.level > 0) & (sample.due >= fell)]
    if not len(degraded):
        return 0.0
    after = sample.answered & (sample.due > degraded[-1])
    return round(float(degraded[-1]) - fell, 3) if after.any() else None


def overload(sample: Sample, rates: tuple[float, float], spans: tuple[float, float, float]) -> dict[str, Any]:
    """Return what a load of `rates[0]` a second, then `rates[1]`, then `rates[0]` again did, for `spans` seconds each."""
    rose, fell = spans[0], spans[0] + spans[1]
    return {
        "per_second": {"before and after": rates[0], "during": rates[1]},
        "seconds": dict(zip(("before", "during", "after"), spans, strict=True)),
        "before": part(sample, 0, rose),
        "during": part(sample, rose, fell),
        "after": part(sample, fell, sum(spans)),
        "recovery_s": recovery_s(sample, fell),
        "undegraded_after_s": undegraded_s(sample, fell),
        "timeline": timeline(sample),
    }


def _has(sample: Sample, level: float) -> bool:
    """Return whether there are answers enough for a percentile."""
    answers = sample.ms[sample.answered]
    return bool(len(answers)) and f"p{level:g}" in percentiles(answers, (level,))


def _is_known(rows: Floats) -> bool:
    """Return whether there are seconds enough, CPU in each of them, and answers: a clock of 10 ms may see none."""
    return len(rows) >= LEAST_SECONDS and bool(np.isfinite(rows).all()) and bool((rows > 0).all())


def _ratio(own: Sample, other: Sample, level: float) -> dict[str, Any] | None:
    """Return the ratio of the percentile `level` of two samples, over the seconds in which both answered; None for too few."""
    both = [pair for pair in zip(_by_second(own), _by_second(other), strict=True) if all(map(len, pair))]
    if len(both) < LEAST_SECONDS:
        return None

    def of(chosen: Floats) -> float:
        pairs = [both[row] for row in chosen.astype(np.int64).tolist()]
        above, below = (np.concatenate(column) for column in zip(*pairs, strict=True))
        return float(np.percentile(above, level) / np.percentile(below, level))

    return statistic_figure(np.arange(len(both), dtype=np.float64), of).to_dict()


def _by_second(sample: Sample) -> list[Floats]:
    """Return the latencies of each second's answers."""
    second = np.floor(sample.due).astype(np.int64)
    return [sample.ms[(second == at) & sample.answered] for at in range(int(np.ceil(sample.seconds)))]


def _cpu_ratio(rows: Floats) -> float:
    own_s, own_answers, other_s, other_answers = rows.sum(axis=0).tolist()
    return float((own_s / own_answers) / (other_s / other_answers))
