"""Recorded networks: reads mahimahi's traces and CSV files of throughput by the second, gzipped or not.

    mahimahi    one whole number a line: the millisecond at which 1,500 bytes may pass; the last is the length of a round
    CSV         a header line with the columns t_s (0, 1, 2, ...) and down_mbps or up_mbps, by direction; others are passed over

Files come from anybody: sizes, lines and values are capped, and what is beyond is refused with file and line. A second of
0 Mbit/s in a CSV is taken as an outage, although it may only say that nothing was sent.
"""

from __future__ import annotations

import csv
import gzip
import io
import math
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sightline_bench.netsim.capacity import MBIT, OPPORTUNITY_BYTES, Capacity, Opportunities, SteppedRate
from sightline_bench.netsim.clock import MS_NS
from sightline_bench.netsim.radio import Direction
from sightline_shared.errors import InputError

MAX_FILE_BYTES = 16 * 1024 * 1024
MAX_TEXT_BYTES = 64 * 1024 * 1024
MAX_LINES = 4_000_000
MAX_MS = 24 * 3600 * 1000
MAX_MBIT = 100_000.0
GAP_MS = 100
GZIP_MAGIC = b"\x1f\x8b"
HINT = "See benchmarks/NETSIM.md for the two formats of traces."


@dataclass(frozen=True)
class Statistics:
    """What a trace is like: megabits a second over bins of one second, and pauses between opportunities in milliseconds."""

    seconds: float
    mean_mbit: float
    p5_mbit: float
    p50_mbit: float
    p95_mbit: float
    max_gap_ms: int
    gaps_over_100ms: int


@dataclass(frozen=True, eq=False)
class OpportunityTrace:
    """A mahimahi trace: ascending whole milliseconds at which 1,500 bytes may pass; `(n,) int64`."""

    name: str
    times_ms: NDArray[np.int64]

    @property
    def round_ns(self) -> int:
        return int(self.times_ms[-1]) * MS_NS

    def capacity(self) -> Capacity:
        return Opportunities(self.times_ms * MS_NS)

    def statistics(self) -> Statistics:
        """Return the trace's statistics; a last second that is not whole is left out of the percentiles."""
        round_ms = int(self.times_ms[-1])
        whole = max(1, round_ms // 1000)
        counts = np.bincount(self.times_ms // 1000, minlength=whole)[:whole]
        by_second = counts * (8 * OPPORTUNITY_BYTES / MBIT)
        gaps = np.diff(self.times_ms)
        low, middle, high = np.percentile(by_second, [5, 50, 95])
        return Statistics(
            seconds=round_ms / 1000,
            mean_mbit=len(self.times_ms) * 8 * OPPORTUNITY_BYTES / (round_ms * 1000),
            p5_mbit=float(low),
            p50_mbit=float(middle),
            p95_mbit=float(high),
            max_gap_ms=int(gaps.max(initial=0)),
            gaps_over_100ms=int((gaps > GAP_MS).sum()),
        )


@dataclass(frozen=True, eq=False)
class RateTrace:
    """Throughput by the second, `(n,) float64` megabits a second."""

    name: str
    mbit: NDArray[np.float64]

    @property
    def round_ns(self) -> int:
        return len(self.mbit) * 1000 * MS_NS

    def capacity(self) -> Capacity:
        return SteppedRate([round(rate * MBIT) for rate in self.mbit.tolist()])


Trace = OpportunityTrace | RateTrace


def read_trace(path: Path, direction: Direction) -> Trace:
    """Read a file by its name: `.csv` or `.csv.gz` is a CSV, with a column for `direction`, anything else a mahimahi trace.

    Raises InputError.
    """
    name = path.name.removesuffix(".gz")
    text = _text(path)
    return _read_csv(text, path, f"{direction.value}_mbps") if name.endswith(".csv") else _read_mahimahi(text, path)


def _text(path: Path) -> str:
    """Return the file's text, unpacked, both within their caps."""
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path}: expected a trace, got '{error.strerror}'.", hint=HINT) from error
    if len(data) > MAX_FILE_BYTES:
        raise InputError(f"{path}: expected at most {MAX_FILE_BYTES} bytes, got more.", hint=HINT)
    if data.startswith(GZIP_MAGIC):
        data = _unpacked(data, path)
    try:
        return data.decode("ascii")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: expected text, got byte {data[error.start]:#x} at {error.start}.", hint=HINT
        ) from error


def _unpacked(data: bytes, path: Path) -> bytes:
    """Return what a gzip file holds, in one member or several."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            text = file.read(MAX_TEXT_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: expected a whole gzip file, got '{error}'.", hint=HINT) from error
    if len(text) > MAX_TEXT_BYTES:
        raise InputError(f"{path}: expected at most {MAX_TEXT_BYTES} bytes unpacked, got more.", hint=HINT)
    return text


def _read_mahimahi(text: str, path: Path) -> OpportunityTrace:
    lines = text.split(maxsplit=MAX_LINES)
    if not 1 <= len(lines) <= MAX_LINES:
        raise InputError(f"{path}: expected 1 to {MAX_LINES} lines, got {'more' if lines else 0}.", hint=HINT)
    times, before = [], 0
    for number, line in enumerate(lines, 1):
        # Not int() alone: it takes '1_000', '+5' and digits of other scripts.
        time_ms = int(line) if line.isdigit() and len(line) <= 9 else -1
        if not before <= time_ms <= MAX_MS:
            raise InputError(
                f"{path}: expected a whole number of milliseconds from {before} to {MAX_MS}, got '{line[:20]}', entry {number}.",
                hint=HINT,
            )
        times.append(time_ms)
        before = time_ms
    if not before:
        raise InputError(
            f"{path}: expected a last millisecond after 0, got 0: a round would have no length.", hint=HINT
        )
    return OpportunityTrace(path.name, np.array(times, np.int64))


def _read_csv(text: str, path: Path, column: str) -> RateTrace:
    rows = csv.DictReader(io.StringIO(text))
    try:
        columns = rows.fieldnames or []
        if not {"t_s", column} <= set(columns):
            raise InputError(f"{path}: expected the columns t_s and {column}, got {columns[:8]}.", hint=HINT)
        rates = []
        for number, row in enumerate(rows):
            if number >= MAX_LINES:
                raise InputError(f"{path}: expected at most {MAX_LINES} lines, got more.", hint=HINT)
            rates.append(_rate(row, column, number, path))
    except csv.Error as error:
        raise InputError(f"{path}: expected a CSV file, got '{error}', line {rows.line_num}.", hint=HINT) from error
    if not any(round(rate * MBIT) for rate in rates):
        raise InputError(f"{path}: expected a second with 1 bit or more, got {len(rates)} without.", hint=HINT)
    return RateTrace(path.name, np.array(rates))


def _rate(row: dict[str, str | None], column: str, second: int, path: Path) -> float:
    try:
        time_s, rate = float(row["t_s"] or ""), float(row[column] or "")
    except ValueError:
        time_s, rate = math.nan, math.nan
    if time_s != second or not 0 <= rate <= MAX_MBIT:
        raise InputError(
            f"{path}: expected second {second} and 0 to {MAX_MBIT:g} Mbit/s, "
            f"got '{row.get('t_s')}' and '{row.get(column)}', data line {second + 1}.",
            hint=HINT,
        )
    return rate
