"""Measure when the first and the final answer come on mobile networks, and offline, with a pocket index on the device.

A proxy over the links of `bench network` stands between the real client and a real service, the phone's radio awake: right for one
packet each way, too fast for larger transfers (no slow start, no acknowledgements, no TLS). It says how late it was itself. The first
answer is the device's where the pocket index has something to say.

Examples:
  sightline bench answers
  sightline bench answers --profiles lte,lte-ucc,slow4g
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
from sightline_bench.edge.answers import Scene
from sightline_bench.netsim.profiles import shipped_profiles
from sightline_bench.netsim.proxy import ABOUT, BACK_END, LATE_MS
from sightline_bench.out import out_file
from sightline_bench.packs import packs_folder
from sightline_bench.quality.tasks import packs_suite, samples_suite
from sightline_bench.results import Run, write
from sightline_bench.service import Gallery, running
from sightline_edge import Device
from sightline_shared.errors import InputError

GALLERY = 1000
PROFILES = "5g,lte,slow4g,3g,edge"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--packs", help="the folder of real photographs (default SIGHTLINE_PACKS)")
    parser.add_argument(
        "--queries", type=int, default=100, help="photographs to ask about on each network (default 100)"
    )
    parser.add_argument("--profiles", default=PROFILES, help=f"names of networks (default {PROFILES})")
    parser.add_argument("--seed", type=int, default=0, help="of losses, jitter and made traces (default 0)")
    parser.add_argument("--out", type=out_file, help="write the JSON result, raw timings included, here too")


def run(args: argparse.Namespace) -> dict[str, Any]:
    if args.queries < 1 or not 0 <= args.seed < 2**63:
        raise InputError(
            f"answers: expected --queries of 1 or more and --seed of 0 to 2**63 - 1, got {args.queries} and {args.seed}."
        )
    book = shipped_profiles()
    profiles = [book.named(name.strip()) for name in args.profiles.split(",")]
    packs, device = packs_folder(args.packs), Device.load()
    networks = {profile.name: repr(profile) for profile in profiles}
    scenario = {"queries": args.queries, "back_end": BACK_END, "networks": networks, "seed": args.seed}
    measured = Run("answers", scenario, device.bundle)
    with (
        tempfile.TemporaryDirectory(prefix="sightline-answers-") as folder,
        Progress(console=Console(stderr=True)) as bar,
    ):
        suite = packs_suite(packs) if packs else samples_suite(Path(folder) / "samples")
        whole, asked = next(iter(suite.galleries.values())), suite.tasks[0].queries
        gallery = Gallery([photo.path for photo in whole[:: max(1, len(whole) // GALLERY)]])
        photos = [str(photo.path) for photo in asked[:: max(1, len(asked) // args.queries)]][: args.queries]
        with running(Path(folder) / "data", device.bundle, {"shop": gallery}, bar) as service:
            step = bar.add_task("networks", total=len(profiles) + 1)
            port, pocket = urlsplit(service.url).port or 0, Path(folder) / "pocket.slp"
            scene = Scene(port, service.keys["shop"], photos, device, pocket)
            table = answers.run(scene, profiles, args.seed, lambda: bar.advance(step))
    measured.note(source=suite.source)
    raw = {name: row.pop("raw") for name, row in table.items()}
    samples = {f"{name}: {part}": values for name, parts in raw.items() for part, values in parts.items()}
    result = measured.result({"back_end": BACK_END, "about": ABOUT, "networks": table}, samples)
    if args.out:
        write(result, args.out)
    return result


def show(result: dict[str, Any]) -> str:
    head = (
        f"{result['scenario']['source']}; {result['machine']['cpu']}, load {result['machine']['load_1m']} before, {result['load_after']} after; "
        "times include reading the picture file"
    )
    late = [name for name, row in result["networks"].items() if not row.get("in_time", True)]
    warning = f" The proxy handed 1 % of its packets on more than {LATE_MS:g} ms late, so the times are the machine's as well: {', '.join(late)}."
    return "\n".join([head, result["about"] + warning * bool(late), "", *answers.show(result["networks"])])
