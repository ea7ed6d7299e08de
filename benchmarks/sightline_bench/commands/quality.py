"""Measure recall and "no visual match" on photographs, through the real client and the real service.

With SIGHTLINE_PACKS (or --packs) the gallery is the grocery and clothing training photographs and the queries are the
whole official test splits; without, the sample catalogue that the project renders. Every figure carries its sample size
and a 95 % bootstrap interval; --out keeps everything as JSON.

Examples:
  SIGHTLINE_PACKS=../shared/packs sightline bench quality --out quality.json
  sightline bench quality --every 10
  sightline bench quality --float-model runs/shipped/student.fp32.onnx --json
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from sightline_bench.out import out_file
from sightline_bench.packs import packs_folder
from sightline_bench.quality.evaluate import evaluate
from sightline_bench.quality.reference import reference_runtime
from sightline_bench.quality.tables import as_text
from sightline_bench.quality.tasks import packs_suite, samples_suite
from sightline_bench.results import Run, write
from sightline_cloud.fusion.tower import TextTower
from sightline_edge import Device
from sightline_shared.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--packs", help="the folder of real photographs (default SIGHTLINE_PACKS)")
    parser.add_argument("--every", type=int, default=1, help="ask only each n-th query (default 1: all)")
    parser.add_argument("--bundle", help="a bundle folder (default SIGHTLINE_BUNDLE, else the SDK's own)")
    parser.add_argument(
        "--float-model", help="the float student's ONNX file (default: the one kept for the SDK's bundle)"
    )
    parser.add_argument(
        "--text-tower", type=Path, help="a text tower ('sightline export text'); without one words count alone"
    )
    parser.add_argument("--out", type=out_file, help="write the JSON result here too")


def run(args: argparse.Namespace) -> dict[str, Any]:
    if args.every < 1:
        raise InputError(f"--every: expected 1 or more, got {args.every}.")
    packs = packs_folder(args.packs)
    device = Device.load(args.bundle)
    tower = TextTower.open(args.text_tower, {device.bundle.pairing.id}) if args.text_tower else None
    measured = Run("quality", {"every": args.every}, device.bundle)
    with (
        tempfile.TemporaryDirectory(prefix="sightline-quality-") as folder,
        Progress(console=Console(stderr=True)) as bar,
    ):
        suite = packs_suite(packs, every=args.every) if packs else samples_suite(Path(folder) / "samples")
        figures = evaluate(
            suite, device, reference_runtime(device, args.float_model), Path(folder) / "data", bar, tower
        )
    measured.note(source=suite.source)
    result = measured.result(figures)
    if args.out:
        write(result, args.out)
    return result


def show(result: dict[str, Any]) -> str:
    return as_text(result)
