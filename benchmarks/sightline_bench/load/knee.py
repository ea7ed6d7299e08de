"""The largest rate that holds: doubled until one does not, then halved in between."""

from __future__ import annotations

from collections.abc import Callable, Sequence

# Two rates closer than this factor are one.
PRECISION = 1.08
HIGHEST = 100_000.0
SHARES = (0.5, 0.75, 0.9, 1.25)
LEAST_SHARE = 0.25


def knee(holds: Callable[[float], bool], start: float) -> float | None:
    """Return the largest rate that was seen to hold, within PRECISION of one that did not; None: not even a rate 64 times below
    `start` does.

    `holds` is asked for one rate after another. The middle of two rates is the geometric one: what counts are ratios.
    """
    held, broke = None, None
    rate = start
    while held is None or broke is None:
        if holds(rate):
            held = rate
            rate *= 2
        else:
            broke = rate
            rate /= 2
        if rate > HIGHEST:
            return held
        if rate < start / 64:
            return None
    while broke / held > PRECISION:
        middle = float((held * broke) ** 0.5)
        if holds(middle):
            held = middle
        else:
            broke = middle
    return held


def grid(knees: Sequence[float | None], start: float) -> list[float]:
    """Return the rates to measure: around every knee, and a quarter of the smallest; without any, of `start`."""
    found = sorted(knee for knee in knees if knee is not None) or [start]
    kept: list[float] = []
    for rate in [*found, *(knee * share for knee in found for share in SHARES), found[0] * LEAST_SHARE]:
        # Two that nobody could tell apart are measured once, and knees go first.
        if all(max(rate, other) / min(rate, other) > PRECISION for other in kept):
            kept.append(rate)
    return [round(rate, 1) for rate in sorted(kept)]
