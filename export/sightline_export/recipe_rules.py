"""What a recipe may say: each rule with the key, what was expected and what came."""

from __future__ import annotations

import re

from sightline_export.recipe import ROUNDINGS, Recipe
from sightline_shared.errors import RecipeInvalid

COREML = ("float16", "int8", "palette")
TFLITE = ("static", "dynamic", "weights")
KINDS = ("catalogue", "outside", "sensitive")


def check(recipe: Recipe, where: str) -> None:
    """Raise RecipeInvalid for values that parse and cannot work."""
    rules = [
        (bool(recipe.name), "name", "a name", recipe.name),
        (bool(recipe.source), "source", "at least one [[source]]", len(recipe.source)),
        (32 <= recipe.student.size <= 512, "student.size", "32 to 512 pixels", recipe.student.size),
        (recipe.student.dimension > 0, "student.dimension", "a positive number", recipe.student.dimension),
        (
            0 < recipe.codec.subspaces <= recipe.student.dimension,
            "codec.subspaces",
            f"1 to the dimension {recipe.student.dimension}",
            recipe.codec.subspaces,
        ),
        (recipe.codec.kind in ("pq", "sq8"), "codec.kind", "'pq' or 'sq8'", recipe.codec.kind),
        (
            0 < recipe.heads.sensitive_miss < 1 and 0 < recipe.heads.sensitive_alarm < 1,
            "heads",
            "sensitive_miss and sensitive_alarm between 0 and 1",
            recipe.heads,
        ),
        (
            min(recipe.heads.views, recipe.heads.sensitive_views, recipe.heads.sensitive_recolourings) >= 0,
            "heads",
            "views, sensitive_views and sensitive_recolourings of 0 or more",
            recipe.heads,
        ),
        (
            bool(recipe.heads.sensitive_shrinkages)
            and all(0 < shrinkage <= 1 for shrinkage in recipe.heads.sensitive_shrinkages),
            "heads.sensitive_shrinkages",
            "at least one share above 0",
            recipe.heads.sensitive_shrinkages,
        ),
        (0 < recipe.gate.false_reject < 1, "gate.false_reject", "a share between 0 and 1", recipe.gate.false_reject),
        (0 < recipe.quality.keep < 1, "quality.keep", "a share between 0 and 1", recipe.quality.keep),
        (recipe.training.images >= 0, "training.images", "0 or more", recipe.training.images),
        (recipe.training.batch >= 2, "training.batch", "2 or more", recipe.training.batch),
        (0 <= recipe.training.outside_share < 1, "training.outside_share", "0 to 1", recipe.training.outside_share),
        (bool(recipe.training.shares), "training.shares", "at least one share", recipe.training.shares),
        (0 < recipe.batches.domain_cap <= 1, "batches.domain_cap", "a share above 0", recipe.batches.domain_cap),
        (recipe.batches.class_cap >= 0, "batches.class_cap", "0 or more", recipe.batches.class_cap),
        (
            recipe.batches.pairs >= 0 and recipe.batches.hard_negatives >= 0,
            "batches",
            "pairs and hard_negatives of 0 or more",
            recipe.batches,
        ),
        (
            recipe.teacher.mixed_views >= 0 and 0 <= recipe.batches.mixed_views < 1,
            "mixed_views",
            "0 or more pictures in [teacher], and a share from 0 to below 1 in [batches]",
            (recipe.teacher.mixed_views, recipe.batches.mixed_views),
        ),
        (
            (recipe.teacher.mixed_views > 0) == (recipe.batches.mixed_views > 0),
            "mixed_views",
            "both of teacher.mixed_views and batches.mixed_views, or neither",
            (recipe.teacher.mixed_views, recipe.batches.mixed_views),
        ),
        (
            len(recipe.augment.crop_area) == 2 and 0 < recipe.augment.crop_area[0] <= recipe.augment.crop_area[1] <= 1,
            "augment.crop_area",
            "two shares, the smaller first",
            recipe.augment.crop_area,
        ),
        (
            recipe.loss.structure_subspaces > 0 and recipe.student.dimension % recipe.loss.structure_subspaces == 0,
            "loss.structure_subspaces",
            f"a divisor of the dimension {recipe.student.dimension}",
            recipe.loss.structure_subspaces,
        ),
        (recipe.loss.structure_temperature > 0, "loss.structure_temperature", "above 0", recipe.loss),
        (bool(recipe.teacher.backbones), "teacher.backbones", "at least one name", recipe.teacher.backbones),
        (0 <= recipe.student.frozen_blocks <= 16, "student.frozen_blocks", "0 to 16", recipe.student.frozen_blocks),
        (recipe.calibration_images > 0, "calibration_images", "a positive number", recipe.calibration_images),
        (
            recipe.quantization.rounding in ROUNDINGS,
            "quantization.rounding",
            f"one of {ROUNDINGS}",
            recipe.quantization.rounding,
        ),
        (recipe.quantization.layers >= 0, "quantization.layers", "0 or more", recipe.quantization.layers),
        (recipe.qat.when in ("needed", "always"), "qat.when", "'needed' or 'always'", recipe.qat.when),
        (recipe.qat.steps >= 0 and recipe.qat.batch > 0, "qat.steps", "0 or more, and a batch", recipe.qat),
        (set(recipe.mobile.coreml) <= set(COREML), "mobile.coreml", f"some of {COREML}", recipe.mobile.coreml),
        (set(recipe.mobile.tflite) <= set(TFLITE), "mobile.tflite", f"some of {TFLITE}", recipe.mobile.tflite),
        (
            bool(recipe.mobile.palette_bits) and set(recipe.mobile.palette_bits) <= {8, 6, 4, 2, 1},
            "mobile.palette_bits",
            "some of 8, 6, 4, 2, 1",
            recipe.mobile.palette_bits,
        ),
        (recipe.evaluation.queries >= 0, "evaluation.queries", "0 or more", recipe.evaluation.queries),
        (0 <= recipe.regression.max_loss <= 1, "regression.max_loss", "a share", recipe.regression.max_loss),
    ]
    for source in recipe.source:
        at = f"source '{source.name}'"
        rules += [
            (bool(source.manifest) != bool(source.folder), at, "either 'manifest' or 'folder'", source),
            (source.kind in KINDS, f"{at}.kind", f"one of {KINDS}", source.kind),
            (0 <= source.val_share + source.test_share < 1, f"{at}.val_share", "shares below 1", source.val_share),
            (0 <= source.holdout_classes < 1, f"{at}.holdout_classes", "a share below 1", source.holdout_classes),
            (
                source.holdout_every != 1 and source.holdout_every >= 0,
                f"{at}.holdout_every",
                "0, or 2 and more",
                source,
            ),
        ]
    for member in recipe.teacher.member:
        rules.append((bool(re.fullmatch(r"[\w-]+", member.name)), "teacher.member.name", "a plain word", member.name))
    for good, key, expected, got in rules:
        if not good:
            raise RecipeInvalid(f"{where}: {key}: expected {expected}, got {got!r}.")
    names = [source.name for source in recipe.source]
    if len(set(names)) != len(names):
        raise RecipeInvalid(f"{where}: source.name: expected different names, got {names}.")
