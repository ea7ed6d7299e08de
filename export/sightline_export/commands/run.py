"""Make a bundle: photographs and a recipe in, one verified folder out.

The run folder keeps the feature cache and the training checkpoints: the same command goes on where it was stopped.

Examples:
  export SIGHTLINE_PACKS=/path/to/packs
  sightline export run export/recipes/shipped.toml --define RENDERED=./rendered --out runs/shipped
  sightline export run my-shop.toml --images 0 --json
  sightline export run my-shop.toml --set seed=2 --set 'student.backbone="efficientnet_lite2"' --device cuda
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sightline_export.pipeline import export
from sightline_export.progress import Progress
from sightline_export.recipe_file import load_recipe
from sightline_shared.errors import RecipeInvalid


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", type=Path, help="the recipe, a TOML file (every key: export/README.md)")
    parser.add_argument("--out", type=Path, help="the run's folder (default runs/NAME)")
    parser.add_argument(
        "--define", action="append", default=[], metavar="NAME=PATH", help="a value for ${NAME} in the recipe's paths"
    )
    parser.add_argument("--features", type=Path, help="where features are cached (default OUT/features)")
    parser.add_argument("--images", type=int, help="augmented photographs to train on, in place of the recipe's")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="a key of the recipe that gets another value"
    )
    parser.add_argument(
        "--device", choices=("cpu", "cuda"), default="cpu", help="where the student is trained (default cpu)"
    )
    parser.add_argument(
        "--force", action="store_true", help="write the bundle though figures miss their bars; its manifest says so"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")


def run(args: argparse.Namespace) -> dict[str, Any]:
    settings = [*args.set, *([] if args.images is None else [f"training.images = {args.images}"])]
    recipe = load_recipe(args.recipe, defined(args.define), settings)
    folder = args.out or Path("runs") / recipe.name
    progress = Progress(quiet=args.quiet)
    bundle = export(recipe, folder, features=args.features, progress=progress, device=args.device, force=args.force)
    manifest = bundle.manifest
    return {
        "ok": True,
        "bundle": str(folder / "bundle"),
        "report": str(folder / "report.md"),
        "card": str(folder / "model-card.html"),
        "forced": list(manifest.forced),
        "label": bundle.label,
        "digest": bundle.digest,
        "size_bytes": sum(entry.size_bytes for entry in manifest.files.values()),
        "timings_s": progress.timings_s,
        "metrics": dict(manifest.metrics),
    }


def defined(pairs: list[str]) -> dict[str, str]:
    table = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not (name and equals and value):
            raise RecipeInvalid(f"--define: expected NAME=PATH, got '{pair}'.")
        table[name] = value
    return table


def show(result: dict[str, Any]) -> str:
    lines = [f"{result['label']}: {result['bundle']} ({result['size_bytes']:,} bytes)"]
    for name, figure in result["metrics"].items():
        if name.endswith(("R@1", "cosine_mean", "auroc", "leave_half_out")):
            lines.append(f"  {name:<42} {figure['value']:.3f}  n={figure['n']}")
    lines += [f"  FORCED: {line}" for line in result["forced"]]
    lines += [f"report: {result['report']}", f"card: {result['card']}"]
    return "\n".join(lines)
