"""Note what the device sends of photographs whose item is known: the table for 'sightline decision calibrate'.

The manifest is a CSV with a column 'path', relative to it, and a column that says what each photograph shows. Its columns are
written again, with two more: 'code', in hex, and 'gate_score'. A photograph that the device would not send, such as a blurred
one, gets an empty code.

Examples:
  sightline decision observe held-out/manifest.csv --out asked.csv
  sightline decision observe held-out/manifest.csv --bundle ./shop-4 --out asked.csv --json
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path
from typing import Any

from sightline_edge.device import Device
from sightline_edge.pipeline import observe
from sightline_edge.runtimes.base import add_runtime_argument
from sightline_shared.budget import Budget
from sightline_shared.errors import InputError, ManifestInvalid

NEW = ("code", "gate_score")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("manifest", metavar="MANIFEST", help="the CSV file that names the photographs")
    parser.add_argument("--out", required=True, metavar="FILE", help="the table to write")
    parser.add_argument("--bundle", help="a bundle folder (default SIGHTLINE_BUNDLE, else the SDK's own)")
    add_runtime_argument(parser)


def run(args: argparse.Namespace) -> dict[str, Any]:
    manifest = Path(args.manifest)
    columns, rows = _read(manifest)
    device = Device.load(args.bundle, runtime=args.runtime)
    sent, problems = 0, []
    for row in rows:
        try:
            row |= _observed(manifest.parent / row["path"], device)
            sent += bool(row["code"])
        except InputError as error:
            row |= dict.fromkeys(NEW, "")
            problems.append({"path": row["path"], **error.to_dict()})
    try:
        with open(args.out, "w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, [*columns, *NEW])
            table.writeheader()
            table.writerows(rows)
    except OSError as error:
        raise InputError(f"{args.out}: expected a file that can be written, got '{error.strerror}'.") from error
    counts = {"photographs": len(rows), "sent": sent, "stopped": len(rows) - sent - len(problems)}
    return {"ok": not problems, "file": args.out, "bundle": device.bundle.label, **counts, "problems": problems}


def _observed(path: Path, device: Device) -> dict[str, str]:
    seen = observe(path, device, Budget())
    return {"code": seen.code.hex() if seen.code else "", "gate_score": f"{seen.gate_score or 0:.6f}"}


def _read(manifest: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Return the columns and the rows; raises ManifestInvalid."""
    try:
        with open(manifest, newline="", encoding="utf-8-sig") as file:
            table = csv.DictReader(file, restkey="", restval="")
            columns = [name for name in table.fieldnames or () if name not in NEW]
            rows = [{name: row[name] for name in columns} for row in table]
    except (OSError, csv.Error, UnicodeDecodeError) as error:
        raise ManifestInvalid(f"{manifest}: expected a UTF-8 CSV file, got one that breaks ({error}).") from error
    if "path" not in columns or not rows:
        raise ManifestInvalid(
            f"{manifest}: expected a column 'path' and at least one row, got {columns} and {len(rows)}."
        )
    return columns, rows


def show(result: dict[str, Any]) -> str:
    lines = [
        f"{result['file']}: {result['photographs']} photographs, {result['sent']} would be sent, {result['stopped']} the device "
        "answers by itself"
    ]
    return "\n".join(lines + [f"  {each['path']}: {each['message']}" for each in result["problems"]])
