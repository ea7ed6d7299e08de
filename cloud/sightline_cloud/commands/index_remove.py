"""Remove items by id. They never answer again: a running service drops them within a second.

Examples:
  sightline index remove shoes/0001.jpg
  sightline index remove a.jpg b.jpg --data /var/lib/sightline --json
"""

from __future__ import annotations

import argparse
from typing import Any

from sightline_cloud.commands.common import add_data_arguments, opened


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ids", nargs="+", metavar="ID", help="ids of items")
    parser.add_argument("--tenant", default="default", help="whose catalogue (default 'default')")
    add_data_arguments(parser)


def run(args: argparse.Namespace) -> dict[str, Any]:
    with opened(args, create=False) as engine:
        removed = engine.store.remove(args.tenant, args.ids)
    unknown = sorted(set(args.ids) - set(removed))
    return {"ok": not unknown, "removed": removed, "unknown": unknown}


def show(result: dict[str, Any]) -> str:
    lines = [f"{len(result['removed'])} items removed"]
    lines += [f"  no such item: {item_id}" for item_id in result["unknown"]]
    return "\n".join(lines)
