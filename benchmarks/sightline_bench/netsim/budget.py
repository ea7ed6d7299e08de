"""The 200 ms of a query, stage by stage: what each may take on each network, and what it took."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from sightline_bench.netsim.strategies import Found
from sightline_cloud.policy.section import Section
from sightline_shared.errors import ConfigInvalid

SHIPPED = "the benchmark's budget.toml"
FORMAT, MOST, MAX_BYTES = 1, 100, 256 * 1024
SITUATION, STRATEGY = "warm", "code"
STAGES = ("device", "wake", "connect", "tls", "uplink", "queue", "server", "downlink", "after")


@dataclass(frozen=True)
class Budget:
    """What the stages may take on a network, in milliseconds at each one's p95; a stage that is not named gets none.

    Where the goal is out of reach `fits` is false, nothing is allowed, and `why` says what stands in the way.
    """

    network: str
    goal_ms: float
    fits: bool
    allowed_ms: Mapping[str, float]
    why: str


def shipped_budgets() -> list[Budget]:
    """Return the budgets that come with the package."""
    return parse_budgets(resources.files("sightline_bench.netsim").joinpath("budget.toml").read_bytes(), SHIPPED)


def read_budgets(path: Path) -> list[Budget]:
    """Read a file of one's own; raises ConfigInvalid with file and key."""
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigInvalid(f"{path}: expected a file of budgets, got '{error.strerror}'.") from error
    if len(data) > MAX_BYTES:
        raise ConfigInvalid(f"{path}: expected at most {MAX_BYTES} bytes, got more.")
    return parse_budgets(data, str(path))


def parse_budgets(data: bytes, file: str) -> list[Budget]:
    """Return what a file's bytes say; raises ConfigInvalid with `file` and key."""
    try:
        top = Section(tomllib.loads(data.decode()), file)
    except (ValueError, RecursionError) as error:  # tomllib's own, no UTF-8, a number of thousands of digits
        raise ConfigInvalid(f"{file}: expected a TOML file, got '{error}'.") from error
    top.choice("format", [FORMAT])
    goal_ms = top.number("goal_ms", 1, 60_000)
    budgets = [_budget(table, goal_ms) for table in top.sections("budgets", most=MOST)]
    top.close()
    return budgets


def _budget(table: Section, goal_ms: float) -> Budget:
    network, fits, why = table.text("network", most=60), table.choice("fits", [True, False]), table.text("why")
    allowed = {}
    if fits:
        stages = table.section("allowed_ms")
        allowed = {name: stages.number(name, 0, goal_ms) for name in STAGES if name in stages}
        stages.close()
        if sum(allowed.values()) > goal_ms:
            table.refuse("allowed_ms", f"stages that add up to {goal_ms:g} ms at most", sum(allowed.values()))
    table.close()
    return Budget(network, goal_ms, fits, allowed, why)


def kept(budgets: Sequence[Budget], found: Found) -> dict[str, dict[str, Any]]:
    """Return for each network that was run with codes and a warm connection what was spent of its budget.

    `ok` is false where the network should fit and p95 to the final answer does not, or a stage takes more than it may.
    """
    return {
        budget.network: _spent(budget, found[budget.network][SITUATION][STRATEGY])
        for budget in budgets
        if STRATEGY in found.get(budget.network, {}).get(SITUATION, {})
        and "p95" in found[budget.network][SITUATION][STRATEGY]["final"]["ms"]
    }


def _spent(budget: Budget, cell: Mapping[str, Any]) -> dict[str, Any]:
    p95_ms, spent = cell["final"]["ms"]["p95"]["value"], cell["stages_p95_ms"]
    over = [name for name, ms in spent.items() if ms is None or ms > budget.allowed_ms.get(name, 0.0)]
    late = p95_ms is None or p95_ms > budget.goal_ms
    return {
        "ok": not budget.fits or not (late or over),
        "fits": budget.fits,
        "in_time": not late,
        "p95_ms": p95_ms,
        "goal_ms": budget.goal_ms,
        "spent_ms": spent,
        "allowed_ms": dict(budget.allowed_ms),
        "over": over if budget.fits else [],
        "why": budget.why,
    }


def as_markdown(spent: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the budgets as people read them."""
    if not spent:
        return "No network with a budget was run with codes on a warm connection, often enough for a p95: there is no verdict."
    lines = [
        f"**Budget**: p95 of each stage against what it may take (ms), {STRATEGY}, {SITUATION}; bold: more than it may.",
        "",
        "| network | final p95 | goal | " + " | ".join(STAGES) + " | verdict |",
        "|---|---|---|" + "---|" * len(STAGES) + "---|",
    ]
    for name, row in spent.items():
        cells = [_text(row, stage) for stage in STAGES]
        p95 = "never" if row["p95_ms"] is None else f"{row['p95_ms']:.0f}"
        verdict = "keeps it" if row["in_time"] and row["ok"] else "**breaks it**"
        if not row["fits"]:
            verdict = f"not expected to: {row['why']}" + ("; it did" if row["in_time"] else "")
        lines.append(f"| {name} | {p95} | {row['goal_ms']:g} | {' | '.join(cells)} | {verdict} |")
    return "\n".join(lines)


def _text(row: Mapping[str, Any], stage: str) -> str:
    spent = row["spent_ms"].get(stage)
    text = "never" if spent is None else f"{spent:.1f}"
    if not row["fits"]:
        return text
    text = f"{text} / {row['allowed_ms'].get(stage, 0):g}"
    return f"**{text}**" if stage in row["over"] else text
