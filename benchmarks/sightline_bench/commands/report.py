"""Make one HTML page of benchmark results, with plots: latency spectra, cumulative shares, recall, load, every estimate.

Examples:
  sightline bench report benchmarks/results/*.json --out report.html
  sightline bench edge --out edge.json && sightline bench report edge.json
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from sightline_bench.out import out_file
from sightline_bench.report.page import render
from sightline_bench.results import read
from sightline_shared.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("results", nargs="+", metavar="JSON", help="results, written by --out")
    parser.add_argument("--out", type=out_file, default="report.html", help="the page (default report.html)")


def run(args: argparse.Namespace) -> dict[str, Any]:
    files = [Path(name) for name in args.results]
    if len({file.stem for file in files}) < len(files):
        raise InputError("report: expected results whose file names differ, without their folders.")
    console = Console(stderr=True)
    results = {file.stem: read(file) for file in track(files, "reading", console=console, transient=True)}
    page = render(results)
    Path(args.out).write_text(page)
    return {"out": args.out, "results": list(results), "bytes": len(page)}


def show(result: dict[str, Any]) -> str:
    return f"{result['out']}: {len(result['results'])} results, {result['bytes'] / 1e6:.1f} MB."
