"""Measured numbers as a reader wants them: a share in per cent, a cosine with four digits, each with its interval."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

Entry = Mapping[str, Any]

# Words in a figure's name that say what kind of number it is; the first that fits counts.
_COUNTS = ("effective_rank", "participation", "chosen")
_PLAIN = ("cosine", "entropy", "auroc", "integer_against", "swapped", "removed", "ece", "upper")
_SHARES = ("R@", "mAP", "overlap", "top1", "top10", "wins", "rejected", "fpr", "kept", "agreement")


def text(name: str, entry: Entry, *, interval: bool = True) -> str:
    """Return the figure `name` as text: value, and 95 % interval where there is one."""
    value = entry["value"]
    if value is None or not math.isfinite(value):
        return "not measured"
    scale, digits, unit = kind(name)
    shown = f"{value * scale:,.{digits}f}{unit}"
    bounds = entry.get("interval")
    if not interval or not bounds or any(bound is None or not math.isfinite(bound) for bound in bounds):
        return shown
    return f"{shown} [{bounds[0] * scale:,.{digits}f}, {bounds[1] * scale:,.{digits}f}]"


def kind(name: str) -> tuple[float, int, str]:
    """Return (factor, digits, unit) for the figure `name`."""
    if "bytes" in name:
        return 1 / 1e6, 2, " MB"
    if "mib" in name:
        return 1, 0, " MiB"
    if name.endswith("_ms") or "_ms." in name:
        return 1, 2, " ms"
    if "ratio" in name and "participation" not in name:
        return 1, 2, " x"
    if any(word in name for word in _COUNTS):
        return 1, 1, ""
    if any(word in name for word in ("R@", "mAP", "top1", "top10", "wins")):
        return 100, 1, " %"
    if any(word in name for word in _PLAIN):
        return 1, 3, ""
    return 100, 1, " %"


def origin(entry: Entry) -> str:
    """Return what the figure was measured on: n and the data, for the cell's tooltip."""
    return f"n = {entry['n']:,}" + (f"; {entry['data']}" if entry.get("data") else "")


def strip(text: str, prefix: str) -> str:
    """Return `text` without `prefix`, underscores as spaces."""
    return text.removeprefix(prefix).replace("_", " ")
