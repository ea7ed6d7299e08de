"""Compare two results of one benchmark: what became faster, slower, better or worse, with intervals.

Runs that are not alike are refused, and what differs is named: another scenario (data, sample size, seed, settings), or
another machine (--across-machines compares them all the same: then the machines are what is compared). What never came is "never",
null in --json, and counts as longer than anything that came.

Examples:
  sightline bench edge --out before.json
  sightline bench compare before.json after.json
  sightline bench compare before.json after.json --json
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from sightline_bench import results
from sightline_bench.compare import as_text, compare


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("a", help="the result to compare with, written by --out")
    parser.add_argument("b", help="the other")
    parser.add_argument("--across-machines", action="store_true", help="compare although the machines differ")


def run(args: argparse.Namespace) -> dict[str, Any]:
    a, b = results.read(args.a), results.read(args.b)
    rows = compare(a, b, across_machines=args.across_machines)
    table = [{**asdict(row), "clear": row.is_clear, "outage": row.is_outage} for row in rows]
    return {"text": as_text(a, b, rows), "rows": results.nulled(table)}


def show(result: dict[str, Any]) -> str:
    return str(result["text"])
