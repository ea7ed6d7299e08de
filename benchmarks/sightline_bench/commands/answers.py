"""Measure when the first and the final answer come on slow networks, and offline, with a pocket index on the device.

A delaying proxy stands between the client and a real service: right for one packet each way, and for nothing larger (no loss, no
radio, no slow start, no TLS). The first answer is the device's where the pocket index has something to say.

Examples:
  sightline bench answers
  SIGHTLINE_PACKS=../shared/packs sightline bench answers --queries 200 --out answers.json
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rich.console import Console
from rich.progress import Progress

from sightline_bench.edge import answers
from sightline_bench.edge.slow_network import PROFILES
from sightline_bench.packs import packs_folder
from sightline_bench.quality.tasks import packs_suite, samples_suite
from sightline_bench.results import Run, write
from sightline_bench.service import Gallery, running
from sightline_edge import Device
from sightline_shared.errors import InputError

GALLERY = 1000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--packs", help="the folder of real photographs (default SIGHTLINE_PACKS)")
    parser.add_argument(
        "--queries", type=int, default=100, help="photographs to ask about on each network (default 100)"
    )
    parser.add_argument("--out", help="write the JSON result, raw timings included, here too")


def run(args: argparse.Namespace) -> dict[str, Any]:
    if args.queries < 1:
        raise InputError(f"--queries: expected 1 or more, got {args.queries}.")
    packs, device = packs_folder(args.packs), Device.load()
    measured = Run("answers", {"queries": args.queries}, device.bundle)
    with (
        tempfile.TemporaryDirectory(prefix="sightline-answers-") as folder,
        Progress(console=Console(stderr=True)) as bar,
    ):
        suite = packs_suite(packs) if packs else samples_suite(Path(folder) / "samples")
        whole, asked = next(iter(suite.galleries.values())), suite.tasks[0].queries
        gallery = Gallery([photo.path for photo in whole[:: max(1, len(whole) // GALLERY)]])
        photos = [str(photo.path) for photo in asked[:: max(1, len(asked) // args.queries)]][: args.queries]
        with running(Path(folder) / "data", device.bundle, {"shop": gallery}, bar) as service:
            step = bar.add_task("networks", total=len(PROFILES) + 1)
            port, pocket = urlsplit(service.url).port or 0, Path(folder) / "pocket.slp"
            table = answers.run(port, service.keys["shop"], photos, device, pocket, lambda name: bar.advance(step))
    measured.note(source=suite.source)
    raw = {name: row.pop("raw") for name, row in table.items()}
    samples = {f"{name}: {part}": values for name, parts in raw.items() for part, values in parts.items()}
    result = measured.result({"networks": table}, samples)
    if args.out:
        write(result, args.out)
    return result


def show(result: dict[str, Any]) -> str:
    head = (
        f"{result['scenario']['source']}; {result['machine']['cpu']}, load {result['machine']['load_1m']} before, {result['load_after']} after; "
        "times include reading the picture file"
    )
    return "\n".join([head, "", *answers.show(result["networks"])])
