"""Measure the frame check and the burst: good frames turned away, bad ones let through, which frame a burst picks.

Photographs come from SIGHTLINE_PACKS (or --packs), else from the rendered sample catalogue. Each is tried as it is and
spoilt: out of focus, smeared, dark, flooded with light. "Bad" is a frame whose embedding has moved away from the good one's
(cosine under 0.8). Bursts are a camera that pans over a photograph and settles, or never does.

Examples:
  SIGHTLINE_PACKS=../shared/packs sightline bench frames --out frames.json
  sightline bench frames --photos 20 --json
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress

from sightline_bench.crops.report import percent
from sightline_bench.frames import burst_table, quality_table
from sightline_bench.out import out_file
from sightline_bench.packs import packs_folder, read_pack, select
from sightline_bench.results import Run, write
from sightline_bench.samples import make_items, phone_view, studio_view
from sightline_edge import Device
from sightline_shared.errors import InputError
from sightline_shared.preprocess import Frame


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--packs", help="the folder of real photographs (default SIGHTLINE_PACKS)")
    parser.add_argument("--photos", type=int, default=300, help="photographs of each group (default 300)")
    parser.add_argument("--bundle", help="a bundle folder (default SIGHTLINE_BUNDLE, else the SDK's own)")
    parser.add_argument("--out", type=out_file, help="write the JSON result here too")


def run(args: argparse.Namespace) -> dict[str, Any]:
    if args.photos < 1:
        raise InputError(f"--photos: expected 1 or more, got {args.photos}.")
    packs, device = packs_folder(args.packs), Device.load(args.bundle)
    source = "shopfloor, test photographs and studio pictures" if packs else "rendered sample catalogue"
    measured = Run("frames", {"source": source, "photos": args.photos}, device.bundle)
    groups = packs_groups(packs, args.photos) if packs else samples_groups(args.photos)
    moving = next(iter(groups.values()))
    with Progress(console=Console(stderr=True)) as bar:
        step = bar.add_task("looking", total=sum(map(len, groups.values())) + 2 * len(moving))
        qualities = quality_table(groups, device, lambda: bar.advance(step))
        bursts = burst_table(moving, device, lambda: bar.advance(step))
    result = measured.result({"quality": qualities, "bursts": bursts})
    if args.out:
        write(result, args.out)
    return result


def packs_groups(packs: Path, count: int) -> dict[str, list[Frame]]:
    """Return `count` photographs of each kind, drawn with a fixed seed."""
    shop = read_pack(packs / "shopfloor" / "manifest.csv")
    chosen = {
        "grocery": select(shop, split="test", domain="grocery"),
        "clothing": select(shop, split="test", domain="clothing"),
        "studio": select(shop, split="iconic"),
    }
    return {name: _some([photo.path for photo in photos], count) for name, photos in chosen.items()}


def samples_groups(count: int) -> dict[str, list[Frame]]:
    """Return rendered phone views and studio views."""
    items = make_items(count)
    return {
        "phone": [phone_view(item, number) for number, item in enumerate(items)],
        "studio": [studio_view(item) for item in items],
    }


def _some(frames: Sequence[Frame], count: int) -> list[Frame]:
    return [frames[number] for number in np.random.default_rng(0).permutation(len(frames))[:count].tolist()]


def show(result: dict[str, Any]) -> str:
    lines = [
        f"{result['scenario']['source']}; bundle {result['bundle']['label']}, {result['seconds']} s; per cent, 95 % bootstrap intervals",
        "",
        "| group | spoilt | n | turned away | cosine to the good frame x 100 | good turned away | bad let through |",
        "|---|---|---|---|---|---|---|",
    ]
    names = ("turned away", "cosine", "good turned away", "bad let through")
    for group, ways in result["quality"].items():
        for way, row in ways.items():
            cells = " | ".join(percent(row[name]) for name in names)
            lines.append(f"| {group} | {way} | {row['turned away']['n']} | {cells} |")
    names = ("called good", "called good and steady", "cosine of the first", "cosine of the picked")
    lines += ["", f"| a hand that | n | frames looked at | {' | '.join(names)} |", "|---|---|---|---|---|---|---|"]
    for name, row in result["bursts"].items():
        cells = " | ".join(percent(row[part]) for part in names)
        lines.append(f"| {name} | {row['called good']['n']} | {row['frames looked at']['value']:.1f} | {cells} |")
    return "\n".join(lines)
