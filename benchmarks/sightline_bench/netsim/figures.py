"""Figures of a run in virtual time: percentiles, misses, where the time went, bytes and packets, the radio."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from sightline_bench.netsim.clock import MS_NS
from sightline_bench.netsim.percentiles import percentile_estimates, share_estimate
from sightline_bench.netsim.radio import Direction
from sightline_bench.netsim.virtual import Outcome
from sightline_bench.stats import Floats

GOAL_MS = 200.0


def summary(outcomes: Sequence[Outcome], groups: int = 1) -> dict[str, Any]:
    """Return the figures of `outcomes`, at least one, in order of time, or in so many groups, each in a trace of its own.

    Milliseconds are rounded to microseconds; None stands for "no answer within a minute". Stages are means over the
    answered, so they add up to their mean and not to a percentile.
    """
    total_ms = np.array([outcome.total_ms for outcome in outcomes])
    answered = [outcome.breakdown.to_ms() for outcome in outcomes if outcome.breakdown]
    return {
        "n": len(outcomes),
        "ms": percentile_estimates(total_ms, groups=groups),
        "max_ms": highest(total_ms),
        "unanswered": len(outcomes) - len(answered),
        "miss_200_ms": share_estimate(total_ms > GOAL_MS, groups=groups),
        "stages_ms": {name: _mean(stages[name] for stages in answered) for name in (answered[0] if answered else ())},
        "bytes": {way.value: _mean(o.counts[way].size_bytes for o in outcomes) for way in Direction},
        "packets": {way.value: _mean(o.counts[way].packets for o in outcomes) for way in Direction},
        "dropped": sum(o.counts[way].dropped for o in outcomes for way in Direction),
        "radio_ms": _mean(o.radio_ns / MS_NS for o in outcomes),
        "tail_ms": _mean(o.tail_ns / MS_NS for o in outcomes),
    }


def highest(ms: Floats) -> float | None:
    """Return the highest of `ms`, None for one that is infinite."""
    worst_ms = float(ms.max())
    return round(worst_ms, 3) if math.isfinite(worst_ms) else None


def _mean(values: Any) -> float:
    each = list(values)
    return round(math.fsum(each) / len(each), 3)
