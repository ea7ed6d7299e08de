"""Measure what 3 and 5 crops of a cluttered frame gain over the whole frame alone, and what they cost.

With SIGHTLINE_PACKS (or --packs) frames are composed of the packs' test photographs and searched among the training
photographs; without, of the sample catalogue that the project renders. Each frame goes through the device path itself; its
codes are searched exactly and decided by the bundle's thresholds. Strangers are asked as well: more crops are more chances
to take one for a thing of the catalogue. Other ways to propose regions stand beside the device's.

Examples:
  SIGHTLINE_PACKS=../shared/packs sightline bench crops --out crops.json
  sightline bench crops --scenes 30 --sheet crops.jpg
  sightline bench crops --json
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from sightline_bench.crops.measure import ask_all
from sightline_bench.crops.pictures import write_sheet
from sightline_bench.crops.report import as_text, figures
from sightline_bench.crops.sets import packs_set, samples_set
from sightline_bench.out import out_file
from sightline_bench.packs import packs_folder
from sightline_bench.results import Run, write
from sightline_edge import Device
from sightline_shared.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--packs", help="the folder of real photographs (default SIGHTLINE_PACKS)")
    parser.add_argument("--scenes", type=int, default=200, help="frames of each kind (default 200)")
    parser.add_argument("--bundle", help="a bundle folder (default SIGHTLINE_BUNDLE, else the SDK's own)")
    parser.add_argument(
        "--sheet", type=out_file, help="write a picture of rendered frames with the proposed regions here"
    )
    parser.add_argument("--out", type=out_file, help="write the JSON result here too")


def run(args: argparse.Namespace) -> dict[str, Any]:
    if args.scenes < 1:
        raise InputError(f"--scenes: expected 1 or more, got {args.scenes}.")
    packs, device = packs_folder(args.packs), Device.load(args.bundle)
    scenes = packs_set(packs, args.scenes) if packs else samples_set(args.scenes)
    measured = Run("crops", {"source": scenes.source, "scenes": args.scenes}, device.bundle)
    with Progress(console=Console(stderr=True)) as bar:
        total = len(scenes.gallery) + sum(map(len, scenes.kinds.values()))
        step = bar.add_task("looking", total=total)
        table = ask_all(scenes, device, lambda: bar.advance(step))
    if args.sheet:
        write_sheet(Path(args.sheet))
    result = measured.result({"kinds": figures(table)})
    if args.out:
        write(result, args.out)
    return result


def show(result: dict[str, Any]) -> str:
    return as_text(result)
