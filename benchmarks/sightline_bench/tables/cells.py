"""A figure as the text of a cell."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

Figure = Mapping[str, Any]

TOO_FEW, NEVER = "too few", "never"


def table(head: Sequence[object], rows: Sequence[Sequence[object]]) -> str:
    """Return a Markdown table; a row that is shorter than the head is filled up with empty cells, and nothing ends a cell."""
    full = [[*row, *[""] * (len(head) - len(row))] for row in rows]
    lines = ["| " + " | ".join(map(_cell, line)) + " |" for line in (head, *full)]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]])


def _cell(value: object) -> str:
    return " ".join(str(value).split()).replace("|", "\\|")


def percent(figure: Figure, digits: int = 1) -> str:
    """Return a share in per cent with its interval, as in "78.2 [76.5, 79.8]"; a dash where nothing was asked."""
    return plain(figure, digits, 100)


def share(figure: Figure, digits: int = 1) -> str:
    """Return a share in per cent without its interval."""
    return "-" if not figure["n"] else _number(100 * figure["value"], digits)


def plain(figure: Figure, digits: int, times: float = 1) -> str:
    """Return an estimate with its interval, if it has one, both multiplied; a dash where nothing was asked."""
    if not figure["n"] or figure["value"] is None or not math.isfinite(figure["value"]):
        return "-"
    value, *bounds = (_number(times * each, digits) for each in (figure["value"], *(figure["interval"] or ())))
    return f"{value} [{', '.join(bounds)}]" if bounds else value


def ms(value: float | None, digits: int = 0) -> str:
    """Return milliseconds; None is what was never answered."""
    return NEVER if value is None else f"{value:.{digits}f}"


def levels(found: Mapping[str, Any], names: Sequence[str] = ("p50", "p95"), digits: int = 0) -> str:
    """Return percentiles beside each other, as in "36 / 43"; estimates and bare numbers are taken."""
    cells = []
    for name in names:
        level = found.get(name, TOO_FEW)
        value = level["value"] if isinstance(level, Mapping) else level
        cells.append(value if isinstance(value, str) else ms(value, digits))
    return " / ".join(cells)


def _number(value: float, digits: int) -> str:
    # Plus zero: what rounds to nothing has no sign.
    return f"{round(value, digits) + 0.0:.{digits}f}"
