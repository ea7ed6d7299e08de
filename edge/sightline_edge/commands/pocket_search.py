"""Ask a pocket index about photographs: nothing is sent, no network is needed.

It holds the head of the catalogue: that an item is not in it says nothing about the rest.

Examples:
  sightline pocket search pocket.slp photo.jpg
  sightline pocket search pocket.slp *.jpg -k 5 --json
"""

from __future__ import annotations

import argparse
from textwrap import shorten
from typing import Any

from sightline_edge.device import Device
from sightline_edge.pipeline import observe
from sightline_edge.pocket import PocketIndex
from sightline_shared.budget import Budget
from sightline_shared.errors import SightlineError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="the pocket index")
    parser.add_argument("photos", nargs="+", metavar="PHOTO", help="JPEG, PNG or WebP files")
    parser.add_argument("--bundle", help="a bundle folder (default SIGHTLINE_BUNDLE, else the SDK's own)")
    parser.add_argument("-k", type=int, default=10, help="matches to return (default 10)")


def run(args: argparse.Namespace) -> dict[str, Any]:
    device = Device.load(args.bundle)
    index = PocketIndex.open(args.file, device)
    answers: list[dict[str, Any]] = []
    for photo in args.photos:
        try:
            answers.append({"photo": photo, **_answer(photo, index, device, args.k)})
        except SightlineError as error:
            if len(args.photos) == 1:
                raise
            answers.append({"photo": photo, "error": error.to_dict()})
    held = {"file": args.file, "tenant": index.tenant, "items": len(index), "version": index.version}
    return {"ok": not any("error" in answer for answer in answers), **held, "answers": answers}


def _answer(photo: str, index: PocketIndex, device: Device, k: int) -> dict[str, Any]:
    budget = Budget()
    seen = observe(photo, device, budget)
    with budget.stage("pocket"):
        matches = () if seen.stop or seen.embedding is None else index.search(seen.embedding, k)
    return {
        "stopped": seen.stop.value if seen.stop else None,
        "reason": seen.reason,
        "matches": [
            {"id": match.id, "score": round(match.score, 4), "metadata": dict(match.metadata)} for match in matches
        ],
        "stages_ms": {stage: round(ms, 3) for stage, ms in budget.stages_ms.items()},
    }


def show(result: dict[str, Any]) -> str:
    lines = [f"{result['file']}: {result['items']:,} items of tenant '{result['tenant']}'"]
    for answer in result["answers"]:
        if "error" in answer:
            lines.append(f"\n{answer['photo']}: error [{answer['error']['code']}] {answer['error']['message']}")
            continue
        stopped = f": {answer['stopped']}, the frame went no further" if answer["stopped"] else ""
        lines.append(f"\n{answer['photo']}{stopped}" + (f"\n  {answer['reason']}" if answer["reason"] else ""))
        lines += [
            f"  {rank:>2}. {match['score']:.3f}  {shorten(str(match['metadata'].get('title') or match['id']), 80, placeholder=' ...')}"
            for rank, match in enumerate(answer["matches"], 1)
        ]
        lines.append(f"  0 bytes sent; {answer['stages_ms']['pocket']:.1f} ms in the pocket index")
    return "\n".join(lines)
