"""Ask a running service about one or several photographs.

The photograph stays on this machine: the device path runs here and sends a code of 64 bytes, or up to three where it is not
sure of the picture as a whole.

--where KEY=VALUE keeps to items that have VALUE under KEY. The same key again means "one of these values"; different keys
must all hold. true and false are truth values, what reads as a number is one (12, 1.5), anything else is text; quotes
make it text: --where 'size="12"'. The service says which keys it keeps for filtering when it is asked for another.

Examples:
  sightline query photo.jpg --url http://127.0.0.1:8765 --api-key sk_...
  sightline query photo.jpg --where category=milk --where colour=red --where colour=blue --where available=true
  SIGHTLINE_API_KEY=sk_... sightline query *.jpg -k 5 --json
  sightline query shelf.jpg --crops 5                        # the whole picture and four regions, one packet
  sightline query photo.jpg --ask-restricted                 # sensitive subjects, too: authoritative sources, or nothing
  sightline query pepper.jpg --text "this, in red"           # the text travels with the code
  sightline query photo.jpg --pocket pocket.slp              # answers from the device's index when the service is away
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from textwrap import shorten
from typing import Any

from sightline_edge.client import Client
from sightline_edge.config import Options
from sightline_edge.device import Device
from sightline_edge.pocket import PocketIndex
from sightline_edge.runtimes.base import add_runtime_argument
from sightline_shared import environment
from sightline_shared.errors import SightlineError
from sightline_shared.where import Scalar

DEFAULT_URL = "http://127.0.0.1:8765"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("photos", nargs="+", metavar="PHOTO", help="JPEG, PNG or WebP files")
    parser.add_argument("--url", help=f"the service (default SIGHTLINE_URL, else {DEFAULT_URL})")
    parser.add_argument("--api-key", help="the API key (default SIGHTLINE_API_KEY)")
    parser.add_argument("--bundle", help="a bundle folder (default SIGHTLINE_BUNDLE, else the SDK's own)")
    add_runtime_argument(parser)
    parser.add_argument(
        "--where", action="append", default=[], type=_term, metavar="KEY=VALUE", help="only items that have it (above)"
    )
    parser.add_argument("--text", default="", help="what the picture does not say ('the lactose-free one'); it is sent")
    parser.add_argument(
        "--pocket", metavar="FILE", help="a pocket index ('sightline pocket sync'), for when the service is away"
    )
    parser.add_argument(
        "--crops",
        type=int,
        default=Options.crops,
        help="regions to ask about at most, the whole picture first (default %(default)s)",
    )
    parser.add_argument(
        "--ask-restricted",
        action="store_true",
        help="ask about sensitive subjects, too (without it nothing of them is sent)",
    )
    parser.add_argument("-k", type=int, default=10, help="matches to return (default 10)")
    parser.add_argument("--deadline-ms", type=int, default=2000, help="from the frame to the answer (default 2000)")


def run(args: argparse.Namespace) -> dict[str, Any]:
    url = args.url or environment.read("SIGHTLINE_URL") or DEFAULT_URL
    api_key = args.api_key or environment.read("SIGHTLINE_API_KEY")
    options = Options(k=args.k, deadline_ms=args.deadline_ms, crops=args.crops, ask_restricted=args.ask_restricted)
    where: dict[str, list[Scalar]] = defaultdict(list)
    for key, value in args.where:
        where[key].append(value)
    answers: list[dict[str, Any]] = []
    device = Device.load(args.bundle, runtime=args.runtime)
    pocket = PocketIndex.open(args.pocket, device) if args.pocket else None
    with Client(url, api_key=api_key, device=device, options=options, pocket=pocket) as client:
        for photo in args.photos:
            try:
                answers.append({"photo": photo, **client.search(photo, where=where, text=args.text).to_dict()})
            except SightlineError as error:
                if len(args.photos) == 1:
                    raise
                answers.append({"photo": photo, "error": error.to_dict()})
    return {"ok": not any("error" in answer for answer in answers), "url": url, "answers": answers}


def _term(text: str) -> tuple[str, Scalar]:
    key, sign, value = text.partition("=")
    if not sign or not key:
        raise argparse.ArgumentTypeError(f"expected KEY=VALUE, got {text!r}")
    try:
        read = json.loads(value)
    except (ValueError, RecursionError):
        read = value
    return key, read if isinstance(read, str | int | float) else value


def show(result: dict[str, Any]) -> str:
    return "\n\n".join(_show_answer(answer) for answer in result["answers"])


def _show_answer(answer: dict[str, Any]) -> str:
    if "error" in answer:
        return f"{answer['photo']}: error [{answer['error']['code']}] {answer['error']['message']}"
    several = len({tuple(match["region"] or ()) for match in answer["matches"]}) > 1
    sent, device_ms = answer["bytes"]["body_up"], sum_device(answer["stages_ms"])
    lines = [
        f"{answer['photo']}: {answer['outcome']} (decided by the {answer['decided_by']})"
        + (f" [{answer['trouble']}]" if answer["trouble"] else "")
        + "".join(f"\n  {text}" for text in (answer["disclaimer"], *answer["reasons"]) if text)
    ]
    lines += [
        f"  {rank:>2}. {match['score']:.3f}  {shorten(str(match['metadata'].get('title') or match['id']), 80, placeholder=' ...')}"
        + (f"  in {tuple(match['region'])}" if several else "")
        for rank, match in enumerate(answer["matches"], 1)
    ]
    round_trip = answer["stages_ms"].get("round_trip", 0.0)
    lines.append(f"  {sent} bytes sent; {device_ms:.1f} ms on the device, {round_trip:.1f} ms round trip")
    return "\n".join(lines)


def sum_device(stages_ms: dict[str, float]) -> float:
    """Return the milliseconds of the stages that ran on the device."""
    return sum(ms for stage, ms in stages_ms.items() if stage != "round_trip" and not stage.startswith("cloud."))
