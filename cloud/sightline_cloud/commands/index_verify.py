"""Check what is stored: every row of the catalogue, every snapshot against its digests.

It only reads, and may run beside a service. With --url the service itself checks the tenant's snapshots, and compares its live
indexes with the catalogue, item by item. Exit status 1 when something is wrong.

Examples:
  sightline index verify
  sightline index verify --url http://127.0.0.1:8765 --api-key sk_... --json
"""

from __future__ import annotations

import argparse
from typing import Any

from sightline_cloud.commands.common import add_data_arguments, opened
from sightline_cloud.commands.operated import add_service_arguments, asked, progress_bar
from sightline_cloud.operate.report import verify_disk


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_data_arguments(parser)
    add_service_arguments(parser)


def run(args: argparse.Namespace) -> dict[str, Any]:
    with progress_bar("verify") as progress:
        if args.url:
            return asked(args, "POST", "verify")
        with opened(args, create=False) as engine:
            problems = verify_disk(engine, progress)
    return {"ok": not problems, "problems": problems}


def show(result: dict[str, Any]) -> str:
    problems = result["problems"]
    return "\n".join([f"{len(problems)} problems:", *(f"  {each}" for each in problems)]) if problems else "all is well"
