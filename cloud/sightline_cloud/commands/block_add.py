"""Refuse uploads of a picture: of this one and of copies that look the same, over HTTP and by 'sightline index add'.

What is kept is a perceptual hash, 64 bits, and not the picture. Copies that were scaled, re-encoded, or changed a little in
light are recognised; crops, turns and mirror images are not (cloud/README.md has the figures). Items that are in the
catalogue already stay; remove them with 'sightline index remove' or 'erase'.

Examples:
  sightline block add ./not-this.jpg ./nor-this.png
  sightline block add --hash 8f1e3c7c1e0f0703 --label "case 17" --json
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sightline_cloud.commands.common import add_data_arguments, opened
from sightline_cloud.ingest.blocked import hash_of, parse_hash
from sightline_shared.errors import ConfigInvalid
from sightline_shared.preprocess import load_image


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("photos", metavar="PHOTO", nargs="*", help="a picture to block")
    parser.add_argument("--hash", action="append", default=[], metavar="HEX", help="a hash to block, 16 hex digits")
    parser.add_argument("--label", help="what the list shall call it (default the file's name, or the hash)")
    add_data_arguments(parser)


def run(args: argparse.Namespace) -> dict[str, Any]:
    found = [(hash_of(load_image(photo)), args.label or Path(photo).name) for photo in args.photos]
    found += [(parse_hash(text), args.label or text.lower()) for text in args.hash]
    if not found:
        raise ConfigInvalid("block add: expected a picture or --hash, got neither.")
    with opened(args) as engine:
        added = [
            {"hash": f"{number:016x}", "label": label, "new": engine.blocked.add(number, label)}
            for number, label in found
        ]
    return {"blocked": added}


def show(result: dict[str, Any]) -> str:
    return "\n".join(
        f"{entry['hash']}  {entry['label']}{'' if entry['new'] else ' (was blocked already)'}"
        for entry in result["blocked"]
    )
