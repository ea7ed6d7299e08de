"""Write golden vectors by which a port of the device proves itself: pixels, codec, gate, heads, wire, re-ranking.

Every vector is JSON, or a file that one names; index.json has each file's SHA-256. shared/README.md says what a port
does with them ("Proving a port").

Examples:
  sightline conformance --out vectors
  sightline conformance --out vectors --bundle ./my-bundle --json
  node tests/ports/js/check.mjs vectors
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sightline_edge.config import resolve_bundle
from sightline_edge.conformance import write


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", required=True, metavar="DIR", help="a folder that does not exist yet")
    parser.add_argument("--bundle", help="a bundle folder (default SIGHTLINE_BUNDLE, else the SDK's own)")


def run(args: argparse.Namespace) -> dict[str, Any]:
    directory = Path(args.out)
    documents = write(resolve_bundle(args.bundle), directory)
    return {
        "out": str(directory),
        "vectors": {document.category: len(document.vectors) for document in documents},
        "size_bytes": sum(path.stat().st_size for path in directory.iterdir()),
    }


def show(result: dict[str, Any]) -> str:
    rows = [f"  {category:<12} {count:>4}" for category, count in result["vectors"].items()]
    total = f"{sum(result['vectors'].values())} vectors, {result['size_bytes'] / 1e6:.1f} MB"
    return "\n".join([f"{result['out']}: {total}", *rows])
