"""The measurements: contenders' processes are open side by side and asked in turn, block by block."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline_bench.retrieval.process import Child
from sightline_shared.errors import ServiceFailed

Rows = NDArray[np.int64]
Times = NDArray[np.float64]
Progress = Callable[[], None]
Failed = dict[str, str]  # why, by contender

K = 10
BLOCK = 100


@dataclass(frozen=True, eq=False)
class Asked:
    """What one contender answered at one effort: `rows` `(q, K)`, and `wall_us` and `cpu_us` `(rounds, q)`."""

    rows: Rows
    wall_us: Times
    cpu_us: Times


def side_by_side(
    children: Mapping[str, Child],
    efforts: Mapping[str, tuple[int, ...]],
    queries: int,
    rounds: int,
    failed: Failed,
    progress: Progress,
) -> dict[tuple[str, int], Asked]:
    """Ask every contender all queries at all its efforts, `rounds` times; `progress` is called after every block.

    A block of queries goes to one contender after another, so that whatever else the machine does meets all alike. One
    that fails is noted in `failed` and left out.
    """
    parts: dict[tuple[str, int], list[list[dict[str, Any]]]] = {
        (name, effort): [] for name in children for effort in efforts[name]
    }
    for number in range(rounds):
        for answers in parts.values():
            answers.append([])
        for first in range(0, queries, BLOCK):
            # Backwards every other time: who follows whom evens out.
            order = list(parts)[:: -1 if (number + first // BLOCK) % 2 else 1]
            for name, effort in order:
                count = min(BLOCK, queries - first)
                asking = {"first": first, "count": count, "k": K, "effort": effort}
                if answer := _unless_failed(children[name], failed, "ask", **asking):
                    parts[name, effort][-1].append(answer)
                progress()
    return {key: _joined(answers) for key, answers in parts.items() if key[0] not in failed}


def cold(child: Child, queries: int, effort: int) -> tuple[Asked, float]:
    """Ask queries with none of the contender's files in the page cache; returns also the most that was left there."""
    answer = child.ask("ask_cold", first=0, count=queries, k=K, effort=effort)
    return _joined([[answer]]), float(answer["left_in_cache"])


def filtered(child: Child, queries: int, effort: int, passing: int) -> Asked:
    """Ask queries under a filter that lets `passing` of 10,000 rows pass."""
    child.ask("restrict", passing=passing)
    asked = _joined([[child.ask("ask", first=0, count=queries, k=K, effort=effort)]])
    child.ask("restrict", passing=None)
    return asked


def batches(
    children: Mapping[str, Child], efforts: Mapping[str, int], threads: int, rounds: int, failed: Failed
) -> dict[str, list[dict[str, Any]]]:
    """Ask every contender all queries in one call, in turn, `rounds` times; one that fails is noted and left out."""
    done: dict[str, list[dict[str, Any]]] = {name: [] for name in children}
    for _ in range(rounds):
        for name, child in children.items():
            asking = {"k": K, "effort": efforts[name], "threads": threads}
            if answer := _unless_failed(child, failed, "batch", **asking):
                done[name].append(answer)
    return {name: answers for name, answers in done.items() if name not in failed}


def _unless_failed(child: Child, failed: Failed, do: str, **arguments: int) -> dict[str, Any] | None:
    """Ask a contender that has not failed yet; None, and a note, when it fails."""
    if child.contender in failed:
        return None
    try:
        return child.ask(do, **arguments)
    except ServiceFailed as error:
        failed[child.contender] = error.message
        return None


def _joined(rounds: list[list[dict[str, Any]]]) -> Asked:
    def column(name: str) -> Times:
        return np.array([[value for block in blocks for value in block[name]] for blocks in rounds])

    rows = [row for block in rounds[0] for row in block["rows"]]
    return Asked(np.array(rows, np.int64), column("wall_us"), column("cpu_us"))
