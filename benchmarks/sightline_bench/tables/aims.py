"""What the index is aimed to do at a million real vectors, what it did, and whether that is enough."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sightline_bench.tables.cells import levels, percent, plain, table
from sightline_bench.tables.shelf import Shelf

NAME = "retrieval-real-1m"
RECALL, RAM_BYTES, P99_MS = 0.95, 90, 10
SSD_RAM_BYTES, SSD_P99_MS = 16, 25
OVER_BARE = 0.15
FINDABLE_MS, POLL_MS = 1000, 300
COMPACTION = 2
WALL = ("p50", "p99")

Row = tuple[str, str, str]


def aims(shelf: Shelf) -> str:
    """Return the table of aims."""
    found = shelf[NAME]
    n, ours, ssd = (
        found["scenario"]["data"]["n"],
        found["contenders"]["sightline"],
        found["contenders"]["sightline-ssd"],
    )
    rows = [_ram(n, ours), _latency(ours), _ssd(n, ssd), _overhead(ours), _findable(found["changes"])]
    rows.append(_compaction(n, found["changes"]))
    about = f"Load {found['machine']['load_1m']} before, {found['load_after']} after."
    return f"{table(['aim', 'measured', ''], rows)}\n\n{shelf.source(NAME, about=about)}"


def at_effort(one: Mapping[str, Any], effort: int | None = None) -> dict[str, Any]:
    """Return a contender's point at that effort, else at its cheapest that reaches the recall aimed at."""
    wanted = one["effort"] if effort is None else effort
    found: dict[str, Any] = next(point for point in one["points"] if point["effort"] == wanted)
    return found


def _ram(n: int, ours: Mapping[str, Any]) -> Row:
    recall, ram = at_effort(ours)["recall"], ours["memory"]["anonymous_bytes"] / n
    return (
        f"recall@10 of {RECALL} with {RAM_BYTES} B of RAM a vector",
        f"{plain(recall, 3)} at nprobe {ours['effort']}; {ram:.0f} B",
        _met(recall["interval"][0] >= RECALL and ram <= RAM_BYTES),
    )


def _latency(ours: Mapping[str, Any]) -> Row:
    wall = at_effort(ours)["wall_ms"]
    return f"p99 within {P99_MS} ms", f"{levels(wall, WALL, 2)} ms (p50 / p99)", _met(wall["p99"] <= P99_MS)


def _ssd(n: int, ssd: Mapping[str, Any]) -> Row:
    at, ram = at_effort(ssd), ssd["memory"]["anonymous_bytes"] / n
    cold = levels(ssd["cold"]["wall_ms"], ("p50",), 1)
    return (
        f"lists on the SSD: {RECALL} with {SSD_RAM_BYTES} B, p99 within {SSD_P99_MS} ms warm",
        f"{plain(at['recall'], 3)}; {ram:.0f} B; {levels(at['wall_ms'], WALL, 2)} ms; cold p50 {cold} ms",
        _met(at["recall"]["interval"][0] >= RECALL and ram <= SSD_RAM_BYTES and at["wall_ms"]["p99"] <= SSD_P99_MS),
    )


def _overhead(ours: Mapping[str, Any]) -> Row:
    efforts = [point["effort"] for point in ours["points"]]
    first = efforts.index(ours["effort"])
    near = efforts[max(0, first - 1) : first + 2]
    ratios = {effort: at_effort(ours, effort)["against_limit"]["cpu"] for effort in near}
    return (
        f"at most {100 * OVER_BARE:g} % more CPU than the bare faiss call and re-rank",
        "; ".join(f"nprobe {effort}: {_over(ratio)} %" for effort, ratio in ratios.items()),
        _met(ratios[ours["effort"]]["interval"][1] <= 1 + OVER_BARE),
    )


def _findable(changes: Mapping[str, Any]) -> Row:
    median_ms = changes["findable_ms"]["p50"]
    return (
        f"findable within {FINDABLE_MS:,} ms",
        f"{median_ms:.1f} ms p50, and up to {POLL_MS} until the service looks",
        _met(median_ms + POLL_MS <= FINDABLE_MS),
    )


def _compaction(n: int, changes: Mapping[str, Any]) -> Row:
    quiet, during, after = (changes[name]["wall_ms"]["p99"] for name in ("with_delta", "during_compaction", "after"))
    ratio, to_none = changes["during_against_delta_p99"], changes["during_against_after_p99"]["wall"]
    verdict = _met(ratio["wall"] < COMPACTION)
    return (
        f"p99 during a compaction of {n:,} + {changes['delta']:,} under twice the quiet one",
        f"{during:.2f} ms against {quiet:.2f} with the same delta: {ratio['wall']:.2f} times ({ratio['cpu']:.2f} by CPU); against "
        f"{after:.2f} with no delta {to_none:.2f} times",
        verdict if to_none < COMPACTION else f"{verdict}; against an index without a delta **missed**",
    )


def _over(ratio: Mapping[str, Any]) -> str:
    less = {**ratio, "value": ratio["value"] - 1, "interval": [each - 1 for each in ratio["interval"]]}
    return percent(less)


def _met(is_met: bool) -> str:
    return "met" if is_met else "**missed**"
