"""The one form that every benchmark's result has: what was run, on what, what came out, and the raw measurements.

schema     1
benchmark  which one: "edge", "load", ...
scenario   everything that two runs must have in common to be compared: data, sample size, seed, settings
command    the words that started it, without where the result goes; results from before 2026-11-26 23:30 have none
bundle     label and digest of the bundle that was measured; null without one
machine    processor, versions, git revision, time, load before (machine.py)
load_after, seconds
...        the benchmark's own figures; {"value", "interval", "n"} is an estimate with its 95 % interval
samples    raw measurements by name, in the order in which they were made; the unit ends the name

null stands for a number that there is not: among the samples, and as the value of an estimate, for what never came; with n 0 for
what nobody knows, as a share of nothing; an interval is null where one of its ends is. NaN and Infinity are no JSON: results from
before 2026-11-27 may hold them, and are read as if they held null.
"""

from __future__ import annotations

import json
import math
import shlex
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline_bench import machine
from sightline_shared.bundle import Bundle
from sightline_shared.errors import InputError

SCHEMA = 1
MAX_BYTES = 256 * 2**20
PARTS = ("benchmark", "scenario", "machine", "samples")
# What everyone who reads results takes for granted.
MACHINE_TEXTS, MACHINE_NUMBERS, BUNDLE_TEXTS = (
    ("time", "system", "cpu", "git"),
    ("cores", "load_1m"),
    ("label", "digest"),
)
ESTIMATE = {"value", "interval", "n"}
MOST_DEPTH = 100
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
        self._head = {
            "schema": SCHEMA,
            "benchmark": benchmark,
            "scenario": self._scenario,
            "command": command_line(sys.argv[1:]),
        }
        self._bundle = bundle and {"label": bundle.label, "digest": bundle.digest}
        self._machine = machine.describe()
        self._start = time.perf_counter()

    def note(self, **scenario: Any) -> None:
        """Add to the scenario what is known only now."""
        self._scenario.update(scenario)

    def result(self, figures: Mapping[str, Any], samples: Mapping[str, Sequence[float]] | None = None) -> Result:
        """Return the result, JSON-able, NaN and infinities as None; `figures` may not use the names above."""
        taken = {*self._head, "bundle", "machine", "load_after", "seconds", "samples"} & {*figures}
        assert not taken, taken
        whole = {
            **self._head,
            "bundle": self._bundle,
            "machine": self._machine,
            "load_after": machine.load(),
            "seconds": round(time.perf_counter() - self._start, 1),
            **figures,
            "samples": {name: thinned(values) for name, values in (samples or {}).items()},
        }
        made: Result = nulled(whole)
        return made


def command_line(words: Sequence[str]) -> str:
    """Return `words` after "sightline" as one would type them again, without --json and --out."""
    kept, skip = ["sightline"], False
    for word in words:
        if not skip and word != "--json" and word.partition("=")[0] != "--out":
            kept.append(word)
        skip = word == "--out"
    return shlex.join(kept)


def write(result: Result, path: str | Path) -> None:
    """Write the result as JSON, the samples of one series on one line; raises InputError where it cannot be written."""
    body = {name: value for name, value in result.items() if name != "samples"}
    lines = [f"  {_json(name)}: {_json(values)}" for name, values in result["samples"].items()]
    text = _json({**body, "samples": {}}, indent=1)
    if lines:
        text = text.removesuffix("{}\n}") + "{\n" + ",\n".join(lines) + "\n }\n}"
    try:
        Path(path).write_text(text + "\n")
    except OSError as error:
        raise InputError(f"{path}: expected to write the result there, but: {error.strerror}.") from error


def read(path: str | Path) -> Result:
    """Return the result in a file; raises InputError when it is none, or of another schema."""
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise InputError(f"{path}: expected a result of at most {MAX_BYTES} bytes, got more.")
        found = nulled(json.loads(data))
    except OSError as error:
        raise InputError(f"{path}: expected a benchmark's result, but it cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: expected a benchmark's result as JSON: {error}.") from error
    if not isinstance(found, dict) or not all(part in found for part in PARTS):
        raise InputError(
            f"{path}: expected a benchmark's result, with {', '.join(PARTS)}.",
            hint="Write one with --out; results from before schema 1 must be measured again.",
        )
    if found.get("schema") != SCHEMA:
        raise InputError(f"{path}: expected a result of schema {SCHEMA}, got {found.get('schema')!r:.40}.")
    if fault := next(_faults(found), None):
        what, place, got = fault
        raise InputError(
            f"{path}: expected {what} as '{place:.120}', got {got!r:.60}.", hint="Measure again with --out."
        )
    return found


def nulled(value: Any, depth: int = 0) -> Any:
    """Return JSON-able data with None for every number that is not finite; raises RecursionError beyond MOST_DEPTH."""
    if depth > MOST_DEPTH:
        raise RecursionError(f"it is nested more than {MOST_DEPTH} deep")
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list | tuple):
        return [nulled(each, depth + 1) for each in value]
    if not isinstance(value, dict):
        return value
    made = {name: nulled(each, depth + 1) for name, each in value.items()}
    if made.keys() >= ESTIMATE and isinstance(made["interval"], list) and None in made["interval"]:
        made["interval"] = None
    return made


def as_floats(samples: Sequence[float | None]) -> NDArray[np.float64]:
    """Return a result's samples `(n,)`, infinite where they never came."""
    return np.array([math.inf if value is None else value for value in samples], np.float64)


def _faults(found: Result) -> Iterator[tuple[str, str, Any]]:
    """Yield what is not as a result has it: what was expected, where, what is there. Beyond the first it may fail itself."""
    objects = {part: found[part] for part in ("scenario", "machine", "samples")}
    if found.get("bundle") is not None:
        objects["bundle"] = found["bundle"]
    yield from (("an object", part, got) for part, got in objects.items() if not isinstance(got, dict))
    texts = {"benchmark": found["benchmark"], "command": found.get("command", "")}
    texts |= {f"machine > {name}": objects["machine"].get(name) for name in MACHINE_TEXTS}
    if "bundle" in objects:
        texts["bundle > label"] = objects["bundle"].get("label")
    yield from (("a text", place, got) for place, got in texts.items() if not isinstance(got, str))
    numbers = {f"machine > {name}": objects["machine"].get(name) for name in MACHINE_NUMBERS}
    yield from (("a number", place, got) for place, got in numbers.items() if not _is_number(got))
    for name, values in objects["samples"].items():
        if not isinstance(values, list) or len(values) > MOST_SAMPLES:
            yield f"a list of {MOST_SAMPLES} at most", f"samples > {name}", values
        bad = (value for value in values if not (value is None or _is_number(value)))
        yield from (("numbers or null", f"samples > {name}", value) for value in bad)
    for name, figure in estimates(found):
        if not _is_estimate(figure):
            yield "an estimate with value, interval and n", name, figure


def _is_estimate(figure: Mapping[str, Any]) -> bool:
    value, interval, n = figure["value"], figure["interval"], figure["n"]
    if isinstance(n, bool) or not isinstance(n, int) or n < 0 or not (value is None or _is_number(value)):
        return False
    return interval is None or (isinstance(interval, list) and len(interval) == 2 and all(map(_is_number, interval)))


def _is_number(value: Any) -> bool:
    """Return whether it is a number that a float can hold: JSON has integers of any size."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, indent=indent, allow_nan=False)


def estimates(figures: Any, name: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every estimate below `figures` with its path, as in "retrieval > grocery > R@1"."""
    if not isinstance(figures, dict):
        return
    if figures.keys() >= ESTIMATE:
        yield name, figures
        return
    for key, value in figures.items():
        if key != "samples":
            yield from estimates(value, f"{name} > {key}" if name else str(key))


def thinned(values: Sequence[float]) -> list[float | None]:
    """Return every k-th measurement, at most MOST_SAMPLES; None for what never came."""
    return [_short(value) for value in values[:: -(-len(values) // MOST_SAMPLES) or 1]]


def _short(value: float) -> float | None:
    if not math.isfinite(value):
        return None
    return float(np.format_float_positional(value, DIGITS, unique=False, fractional=False))
