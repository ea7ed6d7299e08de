"""Make a run's model card again: one HTML page and one JSON file, from what 'export run' left in its folder.

Nothing is trained or measured anew.

Examples:
  sightline export card runs/shipped
  sightline export card runs/shipped --json
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sightline_export.card.page import write_card


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="the run's folder, with metrics.json in it")


def run(args: argparse.Namespace) -> dict[str, Any]:
    html, data = write_card(args.folder)
    return {"ok": True, "html": str(html), "json": str(data), "size_bytes": html.stat().st_size}


def show(result: dict[str, Any]) -> str:
    return f"{result['html']} ({result['size_bytes']:,} bytes)\n{result['json']}"
