"""Compare trainings: the same recipe with single settings changed, in one table.

A study file has [[variant]] tables: a name, `set` (settings as in `export run --set`), and a `group` for repeats.
It measures the float student's retrieval only. What is known already is not trained again.

Examples:
  sightline export study export/recipes/shipped.toml export/recipes/ablation.toml --define RENDERED=./rendered --out runs/ablation
  sightline export study my-shop.toml seeds.toml --set training.images=9000 --json
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sightline_export.commands.run import defined
from sightline_export.progress import Progress
from sightline_export.study import read_study, run_study, table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", type=Path, help="the recipe that the variants start from")
    parser.add_argument("study", type=Path, help="the study, a TOML file of [[variant]] tables")
    parser.add_argument("--out", type=Path, help="the study's folder (default runs/STUDY)")
    parser.add_argument(
        "--define", action="append", default=[], metavar="NAME=PATH", help="a value for ${NAME} in the recipe's paths"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="a setting for every variant, before its own"
    )
    parser.add_argument("--features", type=Path, help="where features are cached (default OUT/features)")
    parser.add_argument(
        "--device", choices=("cpu", "cuda"), default="cpu", help="where the students are trained (default cpu)"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")


def run(args: argparse.Namespace) -> dict[str, Any]:
    folder = args.out or Path("runs") / args.study.stem
    results = run_study(
        args.recipe,
        read_study(args.study),
        folder,
        defined=defined(args.define),
        settings=tuple(args.set),
        features=args.features,
        progress=Progress(quiet=args.quiet),
        device=args.device,
    )
    return {"ok": True, "study": str(folder / "study.json"), "table": table(results), "variants": results}


def show(result: dict[str, Any]) -> str:
    return f"{result['table']}\nstudy: {result['study']}"
