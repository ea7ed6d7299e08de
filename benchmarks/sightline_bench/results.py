"""The one form that every benchmark's result has: what was run, on what, what came out, and the raw measurements.

schema     1
benchmark  which one: "edge", "load", ...
scenario   everything that two runs must have in common to be compared: data, sample size, seed, settings
bundle     label and digest of the bundle that was measured; null without one
machine    processor, versions, git revision, time, load before (machine.py)
load_after, seconds
...        the benchmark's own figures; {"value", "interval", "n"} is an estimate with its 95 % interval
samples    raw measurements by name, in the order in which they were made; the unit ends the name
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sightline_bench import machine
from sightline_shared.bundle import Bundle
from sightline_shared.errors import InputError

SCHEMA = 1
MAX_BYTES = 256 * 2**20
PARTS = ("benchmark", "scenario", "machine", "samples")
# Of a longer series every k-th is kept, so that a file stays small and p99 can be told.
MOST_SAMPLES = 2000
# Digits of a raw measurement: more than a clock is good for.
DIGITS = 6

Result = dict[str, Any]


class Run:
    """One run of a benchmark, from its beginning to its result: notes the machine's load at both ends."""

    def __init__(self, benchmark: str, scenario: Mapping[str, Any], bundle: Bundle | None = None) -> None:
        """`scenario` may be completed later by `note`."""
        self._scenario = dict(scenario)
        self._head = {"schema": SCHEMA, "benchmark": benchmark, "scenario": self._scenario}
        self._bundle = bundle and {"label": bundle.label, "digest": bundle.digest}
        self._machine = machine.describe()
        self._start = time.perf_counter()

    def note(self, **scenario: Any) -> None:
        """Add to the scenario what is known only now."""
        self._scenario.update(scenario)

    def result(self, figures: Mapping[str, Any], samples: Mapping[str, Sequence[float]] | None = None) -> Result:
        """Return the result, JSON-able; `figures` may not use the names above."""
        taken = {*self._head, "bundle", "machine", "load_after", "seconds", "samples"} & {*figures}
        assert not taken, taken
        return {
            **self._head,
            "bundle": self._bundle,
            "machine": self._machine,
            "load_after": machine.load(),
            "seconds": round(time.perf_counter() - self._start, 1),
            **figures,
            "samples": {name: thinned(values) for name, values in (samples or {}).items()},
        }


def write(result: Result, path: str | Path) -> None:
    """Write the result as JSON, the samples of one series on one line."""
    body = {name: value for name, value in result.items() if name != "samples"}
    lines = [f"  {json.dumps(name)}: {json.dumps(values)}" for name, values in result["samples"].items()]
    text = json.dumps({**body, "samples": {}}, indent=1)
    if lines:
        text = text.removesuffix("{}\n}") + "{\n" + ",\n".join(lines) + "\n }\n}"
    Path(path).write_text(text + "\n")


def read(path: str | Path) -> Result:
    """Return the result in a file; raises InputError when it is none, or of another schema."""
    path = Path(path)
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise InputError(f"{path}: expected a result of at most {MAX_BYTES} bytes, got {size}.")
        found = json.loads(path.read_text())
    except OSError as error:
        raise InputError(f"{path}: expected a benchmark's result, but it cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise InputError(f"{path}: expected a benchmark's result as JSON: {error}.") from error
    if not isinstance(found, dict) or not all(part in found for part in PARTS):
        raise InputError(
            f"{path}: expected a benchmark's result, with {', '.join(PARTS)}.",
            hint="Write one with --out; results from before schema 1 must be measured again.",
        )
    if found.get("schema") != SCHEMA:
        raise InputError(f"{path}: expected a result of schema {SCHEMA}, got {found.get('schema')!r:.40}.")
    return found


def estimates(figures: Any, name: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every estimate below `figures` with its path, as in "retrieval > grocery > R@1"."""
    if not isinstance(figures, dict):
        return
    if {"value", "interval", "n"} <= figures.keys():
        yield name, figures
        return
    for key, value in figures.items():
        if key != "samples":
            yield from estimates(value, f"{name} > {key}" if name else str(key))


def thinned(values: Sequence[float]) -> list[float]:
    """Return every k-th measurement, at most MOST_SAMPLES."""
    return [_short(value) for value in values[:: -(-len(values) // MOST_SAMPLES) or 1]]


def _short(value: float) -> float:
    return (
        float(np.format_float_positional(value, DIGITS, unique=False, fractional=False))
        if np.isfinite(value)
        else value
    )
