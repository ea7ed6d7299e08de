"""Photographs whose item is known, as a device saw them: the table that 'sightline decision observe' writes."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from sightline_shared.errors import ManifestInvalid

MAX_FILE_BYTES = 64 * 1024 * 1024
MAX_PHOTOS = 20_000
COLUMNS = ("code", "gate_score")


@dataclass(frozen=True)
class Asked:
    """One photograph: the code that a device would send, its gate's score in [0, 1], and what it shows ("": nothing of the
    catalogue)."""

    code: bytes
    gate_score: float
    shows: str


def read_asked(path: Path, column: str, code_size: int) -> list[Asked]:
    """Return the photographs that a device would send; `column` says what each shows. Raises ManifestInvalid."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ManifestInvalid(f"{path}: expected at most {MAX_FILE_BYTES} bytes, got {path.stat().st_size}.")
        with open(path, newline="", encoding="utf-8-sig") as file:
            table = csv.DictReader(file)
            missing = {*COLUMNS, column} - set(table.fieldnames or ())
            if missing:
                raise ManifestInvalid(
                    f"{path}: expected the columns code, gate_score and {column}, missing {sorted(missing)}.",
                    hint="'sightline decision observe' adds code and gate_score; --match names the other.",
                )
            found = [_asked(path, line, row, column, code_size) for line, row in enumerate(table, 2) if row["code"]]
    except (OSError, csv.Error, UnicodeDecodeError) as error:
        raise ManifestInvalid(f"{path}: expected a UTF-8 CSV file, got one that breaks ({error}).") from error
    if not 1 <= len(found) <= MAX_PHOTOS:
        raise ManifestInvalid(f"{path}: expected 1 to {MAX_PHOTOS} photographs with a code, got {len(found)}.")
    return found


def _asked(path: Path, line: int, row: dict[str, str], column: str, code_size: int) -> Asked:
    try:
        code, score = bytes.fromhex(row["code"]), float(row["gate_score"])
    except (ValueError, TypeError) as error:
        raise ManifestInvalid(f"{path}, line {line}: expected a code in hex and a gate score, got {error}.") from error
    if len(code) != code_size or not 0 <= score <= 1:
        raise ManifestInvalid(
            f"{path}, line {line}: expected a code of {code_size} bytes and a gate score in 0..1, got {len(code)} bytes and "
            f"{score}.",
            hint="Observe the photographs with the bundle that the service answers for.",
        )
    return Asked(code, round(255 * score) / 255, row[column] or "")
