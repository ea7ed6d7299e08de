"""How cost grows with the number of vectors: curves through what was measured, and what they say of a billion."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sightline_bench.retrieval.figures import ENOUGH_RECALL, chosen

BILLION = 10**9
LEAST_SIZES = 3
EFFORT = 16

Read = Callable[[dict[str, Any]], float | None]
Sizes = dict[int, float]


def growth(results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a fit for every data set, contender and cost that was measured at LEAST_SIZES sizes or more.

    `at_billion` is the curve's value there, on paper: nothing that large was measured, and a machine that holds it is
    another machine.
    """
    found: dict[tuple[str, str, str], Sizes] = defaultdict(dict)
    for result in results:
        for name, contender in result["contenders"].items():
            for cost, (read, _) in COSTS.items():
                value = read(contender)
                if value is not None and value > 0:
                    found[result["scenario"]["data"]["source_kind"], name, cost][result["scenario"]["data"]["n"]] = (
                        value
                    )
    return [
        {"data": data, "contender": name, "cost": cost, **COSTS[cost][1](sizes)}
        for (data, name, cost), sizes in found.items()
        if len(sizes) >= LEAST_SIZES
    ]


def power_law(sizes: Sizes) -> dict[str, Any]:
    """Return a n^b through `sizes`, n -> cost, by least squares on logarithms: for time."""
    n, values = _columns(sizes)
    power, offset = np.polyfit(np.log(n), np.log(values), 1)
    return _described(sizes, f"n^{power:.2f}", lambda at: float(np.exp(offset) * at**power))


def line(sizes: Sizes) -> dict[str, Any]:
    """Return a + b n through `sizes`, by least squares on relative errors: for bytes, a part of which is fixed."""
    n, values = _columns(sizes)
    terms = np.stack([1 / values, n / values], axis=1)
    (fixed, each), *_ = np.linalg.lstsq(terms, np.ones(len(n)), rcond=None)
    return _described(sizes, f"{each:.1f} n + {fixed:.2g}", lambda at: float(fixed + each * at))


def _columns(sizes: Sizes) -> tuple[Any, Any]:
    n, values = (np.array(column, np.float64) for column in zip(*sorted(sizes.items()), strict=True))
    return n, values


def _described(sizes: Sizes, curve: str, at: Callable[[float], float]) -> dict[str, Any]:
    return {
        "measured": {str(n): round(value, 5) for n, value in sorted(sizes.items())},
        "curve": curve,
        "largest_error": round(max(abs(at(n) / value - 1) for n, value in sizes.items()), 3),
        "at_billion": at(BILLION),
    }


def _cheapest(contender: dict[str, Any]) -> float | None:
    point = chosen(contender["points"])
    return float(point["cpu_ms"]["p50"]) if point["recall"]["value"] >= ENOUGH_RECALL else None


def _at_effort(contender: dict[str, Any]) -> float | None:
    return next((float(at["cpu_ms"]["p50"]) for at in contender["points"] if at["effort"] == EFFORT), None)


COSTS: dict[str, tuple[Read, Callable[[Sizes], dict[str, Any]]]] = {
    f"CPU ms a query at recall {ENOUGH_RECALL}": (_cheapest, power_law),
    f"CPU ms a query at effort {EFFORT}": (_at_effort, power_law),
    "bytes of RAM": (lambda contender: float(contender["memory"]["anonymous_bytes"]), line),
    "bytes of SSD": (lambda contender: float(contender["memory"]["ssd_bytes"]), line),
    "CPU s of building": (lambda one: float(one["build"]["cpu_s"]) if one["build"] else None, power_law),
}
