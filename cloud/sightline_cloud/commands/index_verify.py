"""Check what is stored: every row of the catalogue, every snapshot against its digests; or a receipt of an erasure.

It only reads, and may run beside a service. With --url the service itself checks the tenant's snapshots, and compares its live
indexes with the catalogue, item by item. With --receipt it says whether that file is what 'sightline index erase' gave for
this catalogue, unchanged, and looks at nothing else. Exit status 1 when something is wrong.

Examples:
  sightline index verify
  sightline index verify --receipt erased.json
  sightline index verify --url http://127.0.0.1:8766 --api-key sk_... --json
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sightline_cloud.commands.common import add_data_arguments, opened
from sightline_cloud.commands.operated import add_service_arguments, asked, progress_bar
from sightline_cloud.operate.receipt import check_receipt, read_receipt
from sightline_cloud.operate.report import verify_disk
from sightline_shared.errors import ConfigInvalid


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--receipt", metavar="FILE", help="say whether this receipt (JSON) of an erasure is genuine")
    add_data_arguments(parser)
    add_service_arguments(parser)


def run(args: argparse.Namespace) -> dict[str, Any]:
    if args.receipt:
        if args.url:
            raise ConfigInvalid("--receipt: expected none with --url, since the catalogue itself is asked (--data).")
        receipt = read_receipt(Path(args.receipt))
        with opened(args, create=False) as engine:
            return check_receipt(engine, receipt)
    with progress_bar("verify") as progress:
        if args.url:
            return asked(args, "POST", "verify")
        with opened(args, create=False) as engine:
            problems = verify_disk(engine, progress)
    return {"ok": not problems, "problems": problems}


def show(result: dict[str, Any]) -> str:
    problems, receipt = result["problems"], result.get("receipt")
    if problems:
        return "\n".join([f"{len(problems)} problems:", *(f"  {each}" for each in problems)])
    if receipt:
        return (
            f"genuine: receipt {receipt['number']}, {receipt['finished']}: {', '.join(receipt['found']) or 'no item'}"
        )
    return "all is well"
