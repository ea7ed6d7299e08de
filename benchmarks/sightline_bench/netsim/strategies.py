"""Ways to ask, side by side: photograph, vectors, codes, and the device's own answers; to the first and to the final answer.

Bodies are the real packers'. Times of device and service are drawn from measured ones (`times`); the network is virtual.
A code's neighbours are what one might send instead: the float vector and photographs have no packer here, so they get
the code's body with so many bytes more.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sightline_bench.netsim.clock import MS_NS
from sightline_bench.netsim.exchange import Payload
from sightline_bench.netsim.figures import GOAL_MS, highest, summary
from sightline_bench.netsim.percentiles import percentile, percentile_estimates, share_estimate
from sightline_bench.netsim.table import Network, Plan, asked
from sightline_bench.netsim.times import Drawn, Times
from sightline_bench.netsim.virtual import Outcome
from sightline_bench.stats import Floats
from sightline_shared.protocol import REQUEST_ID_BYTES, Query, pack_query
from sightline_shared.versions import PAIRING_BYTES

FLOAT_BYTES = 1024
# Whose raw milliseconds a result keeps: the product's own way, and the one that it is compared with most.
SAMPLED = ("code", "photo 40 KB")


def body_bytes(codes: int, code_bytes: int) -> int:
    """Return the bytes of a packed query with so many codes."""
    every = (bytes(code_bytes),) * codes
    query = Query(bytes(PAIRING_BYTES), every, bytes(REQUEST_ID_BYTES), gate_scores=(0.9,) * codes)
    return len(pack_query(query))


@dataclass(frozen=True)
class Strategy:
    """A way to ask; `up_bytes` is None for one that asks nobody. The functions say what a drawn query takes of each in ms.

    `local_ms`: when the device has an answer of its own, None for never.
    """

    name: str
    up_bytes: int | None
    device_ms: Callable[[Drawn], float]
    service_ms: Callable[[Drawn], float] = lambda drawn: drawn.service
    local_ms: Callable[[Drawn], float] | None = None


# `bench edge --pocket`: p95 of a search among 10,000 items; its samples are not kept.
POCKET_MS = 1.3
_CODE = body_bytes(1, 64)
STRATEGIES = {
    strategy.name: strategy
    for strategy in (
        Strategy("photo 120 KB", _CODE + 120_000, lambda t: 0.0, lambda t: t.service + t.embeds),
        Strategy("photo 40 KB", _CODE + 40_000, lambda t: 0.0, lambda t: t.service + t.embeds),
        Strategy("float vector", _CODE - 64 + FLOAT_BYTES, lambda t: t.device),
        Strategy("int8 vector", body_bytes(1, 256), lambda t: t.device),
        Strategy("code", _CODE, lambda t: t.device),
        Strategy("3 crops", body_bytes(3, 64), lambda t: t.device + 2 * t.crop),
        Strategy("5 crops", body_bytes(5, 64), lambda t: t.device + 4 * t.crop),
        Strategy("racing", _CODE, lambda t: t.device, local_ms=lambda t: t.device + POCKET_MS),
        Strategy("pocket", None, lambda t: t.device, local_ms=lambda t: t.device + POCKET_MS),
        Strategy("cached", None, lambda t: t.device, local_ms=lambda t: t.device + t.cached),
    )
}

Found = dict[str, dict[str, dict[str, dict[str, Any]]]]
Samples = dict[str, list[float]]


def measure(plan: Plan, names: Sequence[str], times: Times, step: Callable[[], None]) -> tuple[Found, Samples]:
    """Return the figures by network, situation and strategy, and the final milliseconds of the warm runs of SAMPLED."""
    found: Found = {}
    samples: Samples = {}
    for network in plan.networks:
        for situation in plan.situations:
            row = found.setdefault(network.name, {}).setdefault(situation, {})
            for name in names:
                row[name], final_ms = _cell(plan, network, situation, STRATEGIES[name], times)
                if situation == "warm" and name in SAMPLED:
                    samples[f"{network.name} {name} ms"] = [round(ms, 3) for ms in final_ms.tolist()]
                step()
    return found, samples


def _cell(
    plan: Plan, network: Network, situation: str, strategy: Strategy, times: Times
) -> tuple[dict[str, Any], Floats]:
    """Return the figures of one way to ask in one network, and the milliseconds to the final answer.

    Stages are means over the answered, so they add up to their mean.
    """
    rng = random.Random(f"times/{plan.seed}")  # the same times for all ways and networks: they are compared
    drawn = [times.draw(rng) for _ in range(plan.n)]
    device_ms = np.array([strategy.device_ms(each) for each in drawn])
    local_ms = np.array([strategy.local_ms(each) for each in drawn]) if strategy.local_ms else np.full(plan.n, np.inf)
    if strategy.up_bytes is None:
        cell = {
            "stages_ms": {"device": _mean(local_ms)},
            "bytes": {"up": 0, "down": 0},
            "radio_ms": 0.0,
            "tail_ms": 0.0,
        }
        # No more is known of an answer that needs no network than what was measured.
        return {**_answers(local_ms, local_ms, of=times.rows), **cell}, local_ms
    payload = Payload(strategy.up_bytes, plan.answer_bytes)

    def service_ns(number: int) -> int:
        return round(strategy.service_ms(drawn[number]) * MS_NS)

    outcomes, groups = asked(plan, network, situation, payload, service_ns), plan.groups(network)
    after_ms = np.array([each.after for each in drawn])
    cloud_ms = device_ms + np.array([outcome.total_ms for outcome in outcomes]) + after_ms
    figures = summary(outcomes, groups)
    answered = np.array([outcome.breakdown is not None for outcome in outcomes])
    stages = {"device": _mean(device_ms[answered]), **figures["stages_ms"], "after": _mean(after_ms[answered])}
    cell = {name: figures[name] for name in ("unanswered", "bytes", "packets", "dropped", "radio_ms", "tail_ms")}
    late = {"stages_p95_ms": _late(outcomes, device_ms, after_ms)}
    answers = _answers(np.minimum(local_ms, cloud_ms), cloud_ms, groups)
    return {**answers, "stages_ms": stages, **late, **cell}, cloud_ms


def _answers(first_ms: Floats, final_ms: Floats, groups: int = 1, of: int | None = None) -> dict[str, Any]:
    return {
        name: {
            "ms": percentile_estimates(ms, groups=groups, of=of),
            "max_ms": highest(ms),
            "miss_200_ms": share_estimate(ms > GOAL_MS, groups=groups),
        }
        for name, ms in (("first", first_ms), ("final", final_ms))
    }


def _late(outcomes: Sequence[Outcome], device_ms: Any, after_ms: Any) -> dict[str, float | None]:
    """Return each stage's own p95: they do not add up, for no query is late in all of them."""
    stages = {"device": device_ms, "after": after_ms}
    every = [outcome.breakdown.to_ms() if outcome.breakdown else {} for outcome in outcomes]
    for name in next((each for each in every if each), {}):
        stages[name] = np.array([each.get(name, np.inf) for each in every])
    return {name: percentile(ms, 95) for name, ms in stages.items()}


def _mean(ms: Floats) -> float:
    return round(float(ms.mean()), 3) if ms.size else 0.0


def as_markdown(found: Found, titles: Mapping[str, str]) -> str:
    """Return the table as people read it."""
    lines: list[str] = []
    for situation in list(dict.fromkeys(situation for row in found.values() for situation in row)):
        names = list(next(iter(found.values()))[situation])
        lines += [
            f"**{situation}**: milliseconds to the final answer, p50 / p95; in brackets the share that missed {GOAL_MS:g} ms",
            "",
            f"| network | {' | '.join(names)} |",
            "|---|" + "---|" * len(names),
        ]
        for network, row in found.items():
            cells = [_text(row[situation][name]) for name in names]
            lines.append(f"| {titles.get(network, network)} | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines).rstrip()


def _text(cell: dict[str, Any]) -> str:
    final = cell["final"]
    middle, late = (_ms(final["ms"].get(level)) for level in ("p50", "p95"))
    first = cell["first"]["ms"]["p50"]["value"]
    sooner = f", first {first:.0f}" if first != final["ms"]["p50"]["value"] and first is not None else ""
    return f"{middle} / {late}{sooner} ({100 * final['miss_200_ms']['value']:.0f} %)"


def _ms(estimate: dict[str, Any] | None) -> str:
    if estimate is None:
        return "too few"
    return "never" if estimate["value"] is None else f"{estimate['value']:.0f}"
