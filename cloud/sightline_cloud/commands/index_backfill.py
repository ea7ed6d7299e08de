"""Give items that are in the catalogue vectors of another bundle, from the photographs that they were made from.

The photographs are matched to items by id, as 'sightline index add' named them: a folder's paths, or a manifest's ids. Items
that have a vector of the bundle are passed over, so an interrupted run goes on where it stopped. A service that serves the
bundle ('sightline serve --bundle OLD --bundle NEW') finds each batch within a second.

Examples:
  sightline index backfill ./photos --bundle ./shop-4
  sightline index backfill manifest.csv --tenant shop-2 --bundle ./shop-4 --json
"""

from __future__ import annotations

import argparse
import dataclasses
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from sightline_cloud.commands.common import add_data_arguments, opened
from sightline_cloud.commands.index_add import show_problems
from sightline_cloud.ingest.backfill import backfill
from sightline_cloud.ingest.reader import list_photos


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="DIR|manifest.csv", help="a folder of pictures or a manifest")
    parser.add_argument("--split", help="only the manifest's rows with this value in the column 'split'")
    parser.add_argument("--tenant", default="default", help="whose catalogue (default 'default')")
    add_data_arguments(parser)


def run(args: argparse.Namespace) -> dict[str, Any]:
    entries = list_photos(Path(args.source), split=args.split)
    with opened(args, create=False) as engine, Progress(console=Console(stderr=True)) as bar:
        reports = []
        for live in engine.generations.values():
            step = bar.add_task(f"embedding for {live.bundle.label}", total=len(entries))
            report = backfill(engine.store, live, args.tenant, entries, progress=partial(bar.advance, step))
            reports.append({"bundle": live.bundle.label, "pairing_id": live.key, **dataclasses.asdict(report)})
    return {"tenant": args.tenant, "generations": reports}


def show(result: dict[str, Any]) -> str:
    lines = []
    for report in result["generations"]:
        lines.append(
            f"{report['bundle']} ({report['pairing_id']}): {report['added']} items got a vector, {report['missing']} still "
            f"lack one; {report['passed']} photographs were not needed"
        )
        lines += show_problems(report)
    return "\n".join(lines)
