"""What a file of measurements held, in a few characters: a result names it, so that two runs over others are not compared."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from sightline_bench.netsim.radio import Direction
from sightline_bench.netsim.traces import OpportunityTrace, Trace

DIGITS = 16


def file_digest(path: Path) -> str:
    """Return a digest of the file's bytes; "" where it cannot be read, which whoever reads it will say."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:DIGITS]
    except OSError:
        return ""


def trace_digests(traces: Mapping[Direction, Trace]) -> dict[str, str]:
    """Return a digest of each direction's opportunities or rates, however they were packed."""
    return {way.value: hashlib.sha256(_content(trace)).hexdigest()[:DIGITS] for way, trace in traces.items()}


def _content(trace: Trace) -> bytes:
    return trace.times_ms.tobytes() if isinstance(trace, OpportunityTrace) else trace.mbit.tobytes()
