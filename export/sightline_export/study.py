"""A study: the same recipe with single settings changed, trained side by side, compared in one table.

It answers what a loss, the teacher, a seed or a held-out class is worth, with the float student's retrieval figures alone:
no converters, codec or gate. Every variant is written as soon as it is known; a study that was stopped goes on.
"""

from __future__ import annotations

import json
import re
import time
import tomllib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline_export import figures
from sightline_export.convert_onnx import to_onnx
from sightline_export.data import PhotoSet, list_photos, load_photos
from sightline_export.distill import check_device
from sightline_export.feature_networks import network_features
from sightline_export.learning import teach, train_student
from sightline_export.mixed_views import with_mixed_views
from sightline_export.progress import Progress
from sightline_export.recipe_file import load_recipe
from sightline_export.student import folded
from sightline_export.teacher import half_whitened_pca, normalise
from sightline_export.workspace import Run
from sightline_shared.errors import RecipeInvalid

Vectors = NDArray[np.float32]
SHOWN = ("fine.R@1", "fine.mAP@10", "instance.R@1", "studio.R@1", "studio.R@5", "unseen.R@1", "all.R@1")


@dataclass(frozen=True)
class Variant:
    """One training: settings that overrule the recipe. Variants of one `group` are repeats (seeds) of each other."""

    name: str
    group: str
    settings: tuple[str, ...]


def read_study(path: Path) -> list[Variant]:
    """Read a study file: `[[variant]]` tables with `name`, `set` (a list of KEY=VALUE) and an optional `group`."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))["variant"]
        variants = [
            Variant(str(table["name"]), str(table.get("group", table["name"])), tuple(map(str, table.get("set", []))))
            for table in tables
        ]
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, KeyError, TypeError, AttributeError) as error:
        raise RecipeInvalid(f"{path}: expected a study of [[variant]] tables with a name, got {error!r}.") from error
    names = [variant.name for variant in variants]
    if not names or len(set(names)) != len(names) or not all(re.fullmatch(r"[\w.-]+", name) for name in names):
        raise RecipeInvalid(f"{path}: expected variants with different plain names, got {names}.")
    return variants


def run_study(
    recipe_path: Path,
    variants: list[Variant],
    folder: Path,
    *,
    defined: Mapping[str, str],
    settings: tuple[str, ...] = (),
    features: Path | None = None,
    progress: Progress | None = None,
    device: str = "cpu",
) -> dict[str, Any]:
    """Train every variant that has no result in `folder` yet; returns and writes `folder`/study.json and study.md."""
    speak = progress or Progress()
    check_device(device)
    results: dict[str, Any] = {}
    for variant in variants:
        recipe = load_recipe(recipe_path, defined, [*settings, *variant.settings])
        file = folder / variant.name / "result.json"
        if not file.is_file():
            with speak.stage(variant.name):
                found = measure(Run(recipe, folder / variant.name, speak, features or folder / "features", device))
            body = {"group": variant.group, "settings": [*settings, *variant.settings], **found}
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")
        results[variant.name] = json.loads(file.read_text(encoding="utf-8"))
    (folder / "study.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (folder / "study.md").write_text(table(results), encoding="utf-8")
    return results


def measure(run: Run) -> dict[str, Any]:
    """Train one variant; returns its columns of figures (student, teacher gallery, teacher, frozen) and its training."""
    start = time.monotonic()
    photos = load_photos(list_photos(run.recipe), run.recipe.student.size, run.progress)
    seen = with_mixed_views(run, photos)
    taught = teach(run, seen)
    targets = taught[: len(photos)]
    began = time.monotonic()
    student, learning = train_student(run, seen, taught)
    trained_s = time.monotonic() - began
    vectors = run.embed(to_onnx(folded(student), run.recipe.student.size).SerializeToString(deterministic=True), photos)
    columns = {
        "student": (vectors, vectors),
        "teacher gallery": (vectors, targets),
        "teacher": (targets, targets),
        "frozen": (frozen := frozen_vectors(run, photos), frozen),
    }
    return {
        "columns": {
            name: {key: figure.to_dict() for key, figure in figures.retrieval_figures(photos, *pair).items()}
            for name, pair in columns.items()
        },
        "learning": learning,
        "training_s": round(trained_s, 1),
        "total_s": round(time.monotonic() - start, 1),
    }


def frozen_vectors(run: Run, photos: PhotoSet) -> Vectors:
    """Return what the student's backbone gives without any training, `(n, d) float32`: features, half-whitened PCA."""
    features = network_features(run.recipe.student.backbone, run.weights, photos, run.features, run.progress)
    mean, projection = half_whitened_pca(features[photos.where(role="train")], run.recipe.student.dimension)
    return normalise(np.asarray((features - mean) @ projection, dtype=np.float32))


def table(results: Mapping[str, Any]) -> str:
    """Return the study as Markdown: a row a variant (own gallery), then mean and spread of each group of repeats."""
    names = [
        name
        for name in next(iter(results.values()))["columns"]["student"]
        if name.endswith(SHOWN) and all(name in result["columns"]["student"] for result in results.values())
    ]
    lines = ["| variant | " + " | ".join(names) + " | training s |", "|---" * (len(names) + 2) + "|"]
    groups: dict[str, list[dict[str, float]]] = defaultdict(list)
    for variant, result in results.items():
        found = {name: float(result["columns"]["student"][name]["value"]) for name in names}
        groups[result["group"]].append(found)
        cells = [f"{100 * value:.1f}" for value in found.values()]
        lines.append(f"| {variant} | " + " | ".join(cells) + f" | {result['training_s']:.0f} |")
    for group, rows in groups.items():
        if len(rows) > 1:
            spread = [np.array([row[name] for row in rows]) * 100 for name in names]
            cells = [f"{values.mean():.1f} ± {values.std(ddof=1):.1f}" for values in spread]
            lines.append(f"| **{group}**, mean ± standard deviation of {len(rows)} | " + " | ".join(cells) + " | |")
    return "\n".join(lines) + "\n"
