"""Add photographs to the catalogue: a folder tree, or a manifest.csv with a column 'path'.

Every batch is durable when the bar moves; a service that runs on the same data folder finds it within a second. A
photograph that cannot be read is reported and left out. An id that is there already is replaced.

With several --bundle each photograph is embedded by every one of them, and found by the apps of each.

A manifest may have any other columns; 'id' names the item, 'title', 'category', 'price' and 'url' are what apps expect.

Examples:
  sightline index add ./photos
  sightline index add manifest.csv --split train --data /var/lib/sightline --json
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from sightline_cloud.commands.common import add_data_arguments, opened
from sightline_cloud.ingest.reader import list_photos
from sightline_cloud.tenancy.auth import check_name


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="DIR|manifest.csv", help="a folder of pictures or a manifest")
    parser.add_argument("--split", help="only the manifest's rows with this value in the column 'split'")
    parser.add_argument("--tenant", default="default", help="whose catalogue (default 'default')")
    add_data_arguments(parser)


def run(args: argparse.Namespace) -> dict[str, Any]:
    check_name("tenant", args.tenant)  # or no key could ever open what is added
    entries = list_photos(Path(args.source), split=args.split)
    with opened(args) as engine, Progress(console=Console(stderr=True)) as bar:
        step = bar.add_task("indexing", total=len(entries))
        report = engine.ingest.add_photos(args.tenant, entries, progress=lambda n: bar.advance(step, n))
        held = engine.store.counts().get(args.tenant, 0)
        return {**dataclasses.asdict(report), "items": held, "tenant": args.tenant, "gaps": engine.gaps()}


def show(result: dict[str, Any]) -> str:
    lines = [
        f"{result['added']} photographs added, {result['replaced']} of them in place of earlier ones; "
        f"tenant '{result['tenant']}' has {result['items']} items"
    ]
    return "\n".join([*lines, *result["gaps"], *show_problems(result)])


def show_problems(result: dict[str, Any]) -> list[str]:
    """Return the lines about photographs that could not be read."""
    named = [f"  [{problem['code']}] {problem['message']}" for problem in result["problems"]]
    return [f"{result['skipped']} could not be read:", *named] if result["skipped"] else []
