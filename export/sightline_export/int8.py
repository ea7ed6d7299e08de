"""The int8 stage: quantize, fine-tune when that is not enough, tell which layer does the harm, write the .ort file."""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray

from sightline_export.convert_onnx import open_session, run_rows, to_onnx
from sightline_export.convert_ort import write_ort
from sightline_export.data import PhotoSet
from sightline_export.layer_errors import cosines, layer_errors
from sightline_export.qat import fine_tune
from sightline_export.quantize import quantize
from sightline_export.recipe import Qat
from sightline_export.student import Student
from sightline_export.workspace import Run

PROBES = 200


def make_int8(run: Run, photos: PhotoSet, student: Student, model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the int8 model of a folded `student` whose float ONNX form is `model`; writes layers.json and the .ort file.

    Ranges and rounding come from training photographs; validation photographs (training ones where there are none)
    decide whether fine-tuning is needed, and whether it helped.
    """
    recipe = run.recipe
    train = np.random.default_rng(recipe.seed).permutation(photos.where(role="train"))
    calibration = photos.tensors[train[: recipe.calibration_images]]
    held = photos.where(role="val")
    probes = photos.tensors[np.random.default_rng(recipe.seed).permutation(held if len(held) else train)[:PROBES]]
    floats = run_rows(open_session(model), probes)

    int8 = quantize(model, calibration, rounding=recipe.quantization.rounding)
    likeness = cosines(floats, run_rows(open_session(int8), probes))
    run.progress.say(f"int8 against float: {told(likeness)}")
    if recipe.qat.steps and (recipe.qat.when == "always" or misses(likeness, recipe.qat)):
        images = [photos.images[row] for row in train]
        tuned, _ = fine_tune(student, images, calibration, recipe.qat, recipe.augment, recipe.seed, run.progress)
        # Trained under rounding to the nearest: any other rounding would undo what was learnt.
        again = quantize(to_onnx(tuned, recipe.student.size), calibration, rounding="nearest")
        better = cosines(floats, run_rows(open_session(again), probes))
        run.progress.say(f"int8 after fine-tuning: {told(better)}")
        if better.mean() > likeness.mean():
            # The layers are held against the weights that they were rounded from.
            int8, model = again, to_onnx(tuned, recipe.student.size)
    if recipe.quantization.layers:
        report = layer_errors(model, int8, probes[: recipe.quantization.layers], run.progress)
        report.write(run.folder / "layers.json", f"{len(report.whole)} held-out photographs")
        run.progress.say(report.message())
    if recipe.quantization.ort:
        made = write_ort(int8.SerializeToString(deterministic=True), probes[:8], run.folder)
        run.progress.say(f"student.int8.ort: {len(made.model):,} bytes")
    return int8


def misses(likeness: NDArray[np.float64], bars: Qat) -> bool:
    """Tell whether cosines `(n,)` miss one of the recipe's bars for fine-tuning."""
    p1 = float(np.quantile(likeness, 0.01))
    return bool(likeness.mean() < bars.cosine_mean or p1 < bars.cosine_p1 or float(likeness.min()) < bars.cosine_min)


def told(likeness: NDArray[np.float64]) -> str:
    """Return mean, first percentile and minimum of cosines `(n,)` as text."""
    p1 = float(np.quantile(likeness, 0.01))
    return f"cosine {likeness.mean():.4f} mean, {p1:.4f} p1, {likeness.min():.4f} worst (n = {len(likeness)})"
