"""Render the sample catalogue: product-like pictures that the project makes itself, seeded.

Writes studio/ID.jpg, phone/ID-VIEW.jpg and manifest.csv into DIR. The same seed gives the same pixels.

Examples:
  sightline samples write ./samples
  sightline samples write ./samples --items 150 --views 5 --seed 7001 --json
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from sightline_bench.samples import make_items, write_catalogue
from sightline_shared.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", metavar="DIR", help="a folder to write into; made when it is not there")
    parser.add_argument("--items", type=int, default=96, help="items to render (default 96)")
    parser.add_argument("--views", type=int, default=2, help="phone views of each item (default 2)")
    parser.add_argument("--seed", type=int, default=0, help="other seeds give other items (default 0)")


def run(args: argparse.Namespace) -> dict[str, Any]:
    if args.items < 1 or args.views < 0:
        raise InputError(f"samples: expected --items >= 1 and --views >= 0, got {args.items} and {args.views}.")
    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task("rendering", total=args.items)
        manifest = write_catalogue(
            Path(args.directory),
            make_items(args.items, args.seed),
            phone_views=args.views,
            seed=args.seed,
            progress=lambda done, total: bar.update(task, completed=done),
        )
    return {"manifest": str(manifest), "items": args.items, "pictures": args.items * (1 + args.views)}


def show(result: dict[str, Any]) -> str:
    return f"{result['pictures']} pictures of {result['items']} items: {result['manifest']}"
