"""Write the figures of the READMEs from the results in benchmarks/results, in a checkout.

A README has blocks from a line `<!-- table: NAME -->` to a line `<!-- end -->`; what stands between them is written by this command
and by nobody else. --check writes nothing: it names each block that is not what the results say, and exits with 1.

Examples:
  sightline bench tables
  sightline bench tables --check
  sightline bench tables --results results-of-today README.md
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sightline_bench.tables.blocks import filled, named
from sightline_bench.tables.catalogue import written
from sightline_bench.tables.shelf import Shelf
from sightline_shared.errors import InputError

FILES = ("README.md", "edge/README.md", "benchmarks/README.md", "benchmarks/NETSIM.md")
RESULTS = "benchmarks/results"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="*", metavar="README", help=f"default {', '.join(FILES)}")
    parser.add_argument("--check", action="store_true", help="say only what is not as the results say")
    parser.add_argument("--results", default=RESULTS, help=f"folder of results (default {RESULTS})")


def run(args: argparse.Namespace) -> dict[str, Any]:
    shelf = Shelf(Path(args.results))
    blocks, changed = 0, []
    for file in args.files or FILES:
        text = _text(Path(file))
        before, after = named(text, file), filled(text, lambda name: written(shelf, name))
        names = [name for name, body in named(after, file).items() if body != before[name]]
        blocks += len(before)
        changed += [{"file": file, "block": name} for name in names]
        if names and not args.check:
            Path(file).write_text(after)
    return {"ok": not (args.check and changed), "check": args.check, "blocks": blocks, "changed": changed}


def show(result: dict[str, Any]) -> str:
    what = "is not what the results say" if result["check"] else "written"
    lines = [f"{row['file']}: {row['block']} {what}" for row in result["changed"]]
    rest = "sightline bench tables writes them" if result["check"] and lines else "the others are as the results say"
    return "\n".join([*lines, f"{len(lines)} of {result['blocks']} blocks; {rest}."])


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: expected a README, but it cannot be read: {error}.",
            hint="Run it in a checkout, or name the files.",
        ) from error
