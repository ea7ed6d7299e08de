"""Measure what a query's code gives away: attributes inferred from it and photographs linked by it, against the float embedding.

The probe is a linear one, fitted to training photographs and told of test photographs: the weakest of attackers. With
SIGHTLINE_PACKS (or --packs) on real photographs, else on rendered ones.

Examples:
  SIGHTLINE_PACKS=../shared/packs sightline bench privacy --out privacy.json
  sightline bench privacy --json
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress

from sightline_bench.device import privacy
from sightline_bench.out import out_file
from sightline_bench.packs import packs_folder
from sightline_bench.quality.embeddings import embed_all
from sightline_bench.quality.tasks import packs_suite, samples_suite
from sightline_bench.results import Run, write
from sightline_edge import Device
from sightline_shared.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--packs", help="the folder of real photographs (default SIGHTLINE_PACKS)")
    parser.add_argument("--items", type=int, default=96, help="rendered items, without photographs (default 96)")
    parser.add_argument("--bundle", help="a bundle folder (default SIGHTLINE_BUNDLE, else the SDK's own)")
    parser.add_argument("--out", type=out_file, help="write the JSON result here too")


def run(args: argparse.Namespace) -> dict[str, Any]:
    if args.items < 2:
        raise InputError(f"--items: expected 2 or more, got {args.items}.")
    packs, device = packs_folder(args.packs), Device.load(args.bundle)
    measured = Run("privacy", {"items": None if packs else args.items}, device.bundle)
    with tempfile.TemporaryDirectory(prefix="sightline-privacy-") as folder:
        suite = packs_suite(packs) if packs else samples_suite(Path(folder), items=args.items)
        known = suite.galleries["shop" if packs else "studio"]
        asked = tuple(dict.fromkeys(photo for task in suite.tasks for photo in task.queries))
        with Progress(console=Console(stderr=True)) as bar:
            step = bar.add_task("embedding", total=len({photo.path for photo in (*known, *asked)}))
            size = device.bundle.manifest.input_size
            embedded = embed_all((*known, *asked), device.runtime, None, size, lambda n: bar.advance(step, n))
        train, test = (
            privacy.Seen.of(photos, np.stack([embedded[photo.path].int8 for photo in photos]), device)
            for photos in (known, asked)
        )
        inferred, linked = privacy.measure(train, test), privacy.linking(test)
    measured.note(source=suite.source, n_train=len(known), n=len(asked))
    result = measured.result(
        {
            "inferred": {
                group: {name: {view: figure.to_dict() for view, figure in row.items()} for name, row in rows.items()}
                for group, rows in inferred.items()
            },
            "linked": {name: {view: figure.to_dict() for view, figure in row.items()} for name, row in linked.items()},
        }
    )
    if args.out:
        write(result, args.out)
    return result


def show(result: dict[str, Any]) -> str:
    return privacy.as_text(result)
