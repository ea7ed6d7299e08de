"""Measure the device's answer cache on the packs' video clips: how many frames it answers, and how many wrongly.

Needs the photographs (SIGHTLINE_PACKS or --packs): the grocery and clothing training photographs are what is searched. The clips
are of conveyor belts and a road, so what is found says nothing; whether a hit says what a search says is what counts.

Examples:
  SIGHTLINE_PACKS=../shared/packs sightline bench repeats --out repeats.json
  SIGHTLINE_PACKS=../shared/packs sightline bench repeats --bits 0 4 8 --cosines 0.95 0.99
"""

from __future__ import annotations

import argparse
import itertools
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress

from sightline_bench.device import clips, repeats
from sightline_bench.out import out_file
from sightline_bench.packs import packs_folder
from sightline_bench.quality.embeddings import embed_all
from sightline_bench.quality.tasks import packs_suite
from sightline_bench.results import Run, write
from sightline_edge import Device
from sightline_shared.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--packs", help="the folder of real photographs (default SIGHTLINE_PACKS)")
    parser.add_argument("--bits", type=int, nargs="+", default=[0, 4, 8], help="Hamming distances that count as near")
    parser.add_argument(
        "--cosines", type=float, nargs="+", default=[0.95, 0.97, 0.99], help="cosines that count as near"
    )
    parser.add_argument("--every", type=int, default=1, help="take each n-th frame (default 1: all)")
    parser.add_argument("--out", type=out_file, help="write the JSON result here too")


def run(args: argparse.Namespace) -> dict[str, Any]:
    packs, device = packs_folder(args.packs), Device.load()
    if packs is None:
        raise InputError("bench repeats: expected the photographs.", hint="Give --packs, or set SIGHTLINE_PACKS.")
    if args.every < 1:
        raise InputError(f"--every: expected 1 or more, got {args.every}.")
    files = sorted((packs / "shopfloor" / "video").rglob("*.mp4"))
    if not files:
        raise InputError(f"{packs}: expected video clips under shopfloor/video, got none.")
    measured = Run("repeats", {"every": args.every, "bits": args.bits, "cosines": args.cosines}, device.bundle)
    with Progress(console=Console(stderr=True)) as bar:
        photos = packs_suite(packs).galleries["shop"]
        step = bar.add_task("gallery", total=len({photo.path for photo in photos}))
        embedded = embed_all(
            photos, device.runtime, None, device.bundle.manifest.input_size, lambda n: bar.advance(step, n)
        )
        gallery = np.stack([embedded[photo.path].int8 for photo in photos])
        rows, step = [], bar.add_task("clips", total=len(files))
        for file in files:
            clip = repeats.Clip.of(file.stem, list(clips.frames(file, every=args.every)), gallery, device)
            for bits, cosine in itertools.product(args.bits, args.cosines):
                figures = {name: figure.to_dict() for name, figure in repeats.measure(clip, bits, cosine).items()}
                settings = {"near_bits": bits, "near_cosine": cosine}
                rows.append({"clip": clip.name, "frames": len(clip.codes), **settings, **figures})
            bar.advance(step)
    measured.note(source=f"shopfloor video, every {args.every}. frame, against {len(photos)} photographs")
    result = measured.result({"clips": rows})
    if args.out:
        write(result, args.out)
    return result


def show(result: dict[str, Any]) -> str:
    return repeats.as_text(result)
