"""Erase every trace of items: catalogue, thumbnails, vectors of every generation, indexes, old snapshots, caches.

The receipt says what was erased where, and proves it later without holding anything of it: give --receipt to keep it, since
the catalogue keeps the ids only as digests. What a database server's own log and your backups hold is not reached; 'sightline
index remove' is enough when an item shall only not be found any more.

Examples:
  sightline index erase customer-17.jpg --receipt erased.json
  sightline index erase a.jpg b.jpg --url http://127.0.0.1:8766 --api-key sk_... --json
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from sightline_cloud.commands.operated import add_operator_arguments, operated
from sightline_cloud.operate.erase import erase
from sightline_shared.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ids", nargs="+", metavar="ID", help="ids of items")
    parser.add_argument("--receipt", metavar="FILE", help="write the receipt (JSON) into this new file")
    add_operator_arguments(parser, tenant="'default'")


def run(args: argparse.Namespace) -> dict[str, Any]:
    if args.receipt and Path(args.receipt).exists():
        raise InputError(f"{args.receipt}: expected a new file for the receipt, got one that is there.")
    receipt = operated(
        args,
        "erase",
        lambda engine, _: erase(engine, args.tenant or "default", args.ids).to_dict(),
        {"ids": args.ids},
    )
    if args.receipt:
        Path(args.receipt).write_text(json.dumps(receipt, indent=1, ensure_ascii=False) + "\n", "utf-8")
    return {"ok": not receipt["unknown"], **receipt}


def show(result: dict[str, Any]) -> str:
    lines = [f"{len(result['found'])} items erased; receipt {result['content']['number']}, sha256 {result['sha256']}"]
    for place, erased in result["content"]["erased"].items():
        said = erased if isinstance(erased, list) else [f"{count} of {table}" for table, count in erased.items()]
        lines += [f"  {place}: {line}" for line in said]
    lines += [f"  {key}: erased before, receipt {number}" for key, number in result["earlier"].items()]
    lines += [f"  no such item: {key}" for key in result["unknown"]]
    return "\n".join(lines)
