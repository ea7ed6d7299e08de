"""Measure what query expansion over a session gains and harms, on pairs of photographs.

With SIGHTLINE_PACKS (or --packs) these are the grocery test photographs against the grocery and clothing training
photographs; --split val takes the held-out ones, which the default threshold was chosen on. Without, rendered ones.

Examples:
  SIGHTLINE_PACKS=../shared/packs sightline bench session --out session.json
  sightline bench session --near 0.6 0.75 0.9
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress

from sightline_bench.device import session
from sightline_bench.out import out_file
from sightline_bench.packs import packs_folder, read_pack, select
from sightline_bench.quality.embeddings import embed_all
from sightline_bench.quality.tasks import packs_suite, samples_suite
from sightline_bench.results import Run, write
from sightline_edge import Device
from sightline_shared.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--packs", help="the folder of real photographs (default SIGHTLINE_PACKS)")
    parser.add_argument("--split", choices=("test", "val"), default="test", help="whose photographs ask (default test)")
    parser.add_argument("--near", type=float, nargs="+", default=[0.6, 0.75, 0.9], metavar="COSINE", help="thresholds")
    parser.add_argument("--items", type=int, default=96, help="rendered items, without photographs (default 96)")
    parser.add_argument("--bundle", help="a bundle folder (default SIGHTLINE_BUNDLE, else the SDK's own)")
    parser.add_argument("--out", type=out_file, help="write the JSON result here too")


def run(args: argparse.Namespace) -> dict[str, Any]:
    if not all(-1 <= near <= 1 for near in args.near):
        raise InputError(f"--near: expected cosines in -1..1, got {args.near}.")
    if args.items < 2:
        raise InputError(f"--items: expected 2 or more, got {args.items}.")
    packs, device = packs_folder(args.packs), Device.load(args.bundle)
    measured = Run("session", {"split": args.split, "items": None if packs else args.items}, device.bundle)
    with (
        tempfile.TemporaryDirectory(prefix="sightline-session-") as folder,
        Progress(console=Console(stderr=True)) as bar,
    ):
        suite = packs_suite(packs) if packs else samples_suite(Path(folder), items=args.items)
        task = suite.tasks[0]
        gallery, asked = suite.galleries[task.gallery], task.queries
        if packs and args.split == "val":
            shop = read_pack(packs / "shopfloor" / "manifest.csv")
            asked = tuple(select(shop, split="val", domain="grocery"))
        step = bar.add_task("embedding", total=len({photo.path for photo in (*gallery, *asked)}))
        size = device.bundle.manifest.input_size
        embedded = embed_all((*gallery, *asked), device.runtime, None, size, lambda n: bar.advance(step, n))
    queries, vectors = (np.stack([embedded[photo.path].int8 for photo in photos]) for photos in (asked, gallery))
    table = session.measure(asked, queries, gallery, vectors, device, tuple(args.near))
    measured.note(source=suite.source if args.split == "test" else "shopfloor, grocery val", n=len(asked))
    result = measured.result(
        {
            "expansion": {
                str(near): {
                    case: {name: figure.to_dict() for name, figure in row.items()} for case, row in cases.items()
                }
                for near, cases in table.items()
            }
        }
    )
    if args.out:
        write(result, args.out)
    return result


def show(result: dict[str, Any]) -> str:
    return session.as_text(result)
