"""Allow pictures again, by their number in 'sightline block list'.

Examples:
  sightline block remove 3
  sightline block remove 3 4 --data /var/lib/sightline --json
"""

from __future__ import annotations

import argparse
from typing import Any

from sightline_cloud.commands.common import add_data_arguments, opened


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("numbers", metavar="NUMBER", nargs="+", type=int, help="a number of the list")
    add_data_arguments(parser)


def run(args: argparse.Namespace) -> dict[str, Any]:
    with opened(args, create=False) as engine:
        removed = engine.blocked.remove(args.numbers)
    unknown = [number for number in args.numbers if number not in removed]
    return {"ok": not unknown, "removed": list(removed), "unknown": unknown}


def show(result: dict[str, Any]) -> str:
    unknown = [f"not on the list: {', '.join(map(str, result['unknown']))}"] if result["unknown"] else []
    return "\n".join([f"{len(result['removed'])} pictures allowed again", *unknown])
