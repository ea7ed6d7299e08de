"""The mobile stage: TFLite and Core ML files of the trained student, each proved before it may ship."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sightline_edge.runtimes.tflite import TfliteRuntime
from sightline_export import artefacts, parity
from sightline_export.convert_coreml import CoreMlPackage, to_coreml
from sightline_export.convert_executorch import write_executorch
from sightline_export.convert_tflite import to_tflite
from sightline_export.integers import read_integers, with_integers
from sightline_export.parity import Comparison, Trial
from sightline_export.recipe import Bars, Recipe
from sightline_export.student import Student
from sightline_export.workspace import Run
from sightline_shared.errors import GoldenMismatch
from sightline_shared.golden import Golden

ROLE, FILE = "student.tflite", "student.int8.tflite"
# The golden cosine may be this much below what was measured here: another processor rounds in other places.
GOLDEN_SLACK = 0.02
# Below this no rounding explains it.
LEAST_GOLDEN = 0.9


@dataclass(frozen=True)
class MobileFiles:
    """What the stage made: the TFLite file that ships and its kind ("" without one), Core ML packages by variant.

    `tried` compares every TFLite kind that was made, whether or not it ships, and "fp32", the same weights in float32.
    """

    tflite: bytes = b""
    kind: str = ""
    coreml: Mapping[str, CoreMlPackage] = field(default_factory=dict)
    tried: tuple[Comparison, ...] = ()


def make_mobile(
    run: Run, student: Student, int8_model: bytes, calibration: NDArray[np.uint8], trial: Trial
) -> MobileFiles:
    """Write what `[mobile]` asks for into the run's folder; raises ExtraMissing, RuntimeFailed, GoldenMismatch.

    `student` is folded, `int8_model` its int8 ONNX file, whose integers TFLite gets; `calibration` `(n, s, s, 3) uint8`
    are training photographs, `trial`'s are held out.
    """
    recipe = run.recipe
    tflite, kind = b"", ""
    tried: tuple[Comparison, ...] = ()
    if recipe.mobile.tflite:
        layers = read_integers(int8_model)
        twin = with_integers(student, layers, recipe.student.size)
        files = to_tflite(twin, calibration, recipe.mobile.tflite, _interpreter(recipe), layers)
        for name, data in files.items():
            (run.folder / f"student.{name}.tflite").write_bytes(data)
        tried = tuple(compare_tflite(files, trial))
        for comparison in tried:
            run.progress.say(summary(comparison))
        kind = choose(tried, recipe.mobile.tflite, recipe.bars)
        tflite = files[kind]
        (run.folder / FILE).write_bytes(tflite)
    coreml = to_coreml(student, recipe.student.size, run.folder, recipe.mobile)
    for variant, package in coreml.items():
        run.progress.say(f"student.{variant}.mlpackage: {package.size_bytes:,} bytes, every layer's weights checked")
    if recipe.mobile.executorch:
        program = write_executorch(student, recipe.student.size, trial.pixels[:8], run.folder / "student.pte")
        run.progress.say(f"student.pte: {len(program):,} bytes")
    return MobileFiles(tflite, kind, coreml, tried)


def shipped_artefacts(files: MobileFiles) -> list[artefacts.Artefact]:
    """Return the stage's artefacts for the parity of everything that ships."""
    found = [artefacts.from_tflite("tflite-int8", files.tflite)] if files.tflite else []
    return found + [artefacts.from_coreml(f"coreml-{name}", package) for name, package in files.coreml.items()]


def compare_tflite(files: Mapping[str, bytes], trial: Trial) -> list[Comparison]:
    """Hold every TFLite file against the float student."""
    return parity.compare([artefacts.from_tflite(f"tflite-{kind}", data) for kind, data in files.items()], trial)


def choose(tried: tuple[Comparison, ...], order: tuple[str, ...], bars: Bars) -> str:
    """Return the first kind of `order` that reaches the bars; raises GoldenMismatch with every figure when none does."""
    found = {comparison.artefact.name.removeprefix("tflite-"): parity.misses(comparison, bars) for comparison in tried}
    for kind in order:
        if not found[kind]:
            return kind
    raise GoldenMismatch(
        "TFLite: " + "; ".join(f"{kind}: {', '.join(found[kind])}" for kind in order) + ".",
        hint="Name other kinds in [mobile] tflite, or calibrate on more photographs; [bars] sets the limits.",
    )


def golden_tolerance(model: bytes, golden: Golden, most: float) -> float:
    """Return the least cosine to the golden embeddings that a device must reach with the TFLite file.

    The golden embeddings are the ONNX int8 student's. `most` is the tolerance of that one. Raises GoldenMismatch when
    even this machine does not come near them.
    """
    got = TfliteRuntime(model).embed(golden.tensors)
    lengths = np.linalg.norm(got, axis=1) * np.linalg.norm(golden.embeddings, axis=1)
    worst = float(((got * golden.embeddings).sum(axis=1) / np.maximum(lengths, 1e-9)).min())
    if worst < LEAST_GOLDEN + GOLDEN_SLACK:
        raise GoldenMismatch(
            f"TFLite: expected golden embeddings within cosine {LEAST_GOLDEN + GOLDEN_SLACK}, got {worst:.4f}.",
            hint="The TFLite and the ONNX student differ on the golden pictures; compare them with the parity figures.",
        )
    return min(most, math.floor((worst - GOLDEN_SLACK) * 100) / 100)


def summary(comparison: Comparison) -> str:
    """Return one line about an artefact, for the log."""
    ms = "" if comparison.device_ms is None else f", {comparison.device_ms.value:.1f} ms"
    return (
        f"{comparison.artefact.name}: {comparison.artefact.size_bytes:,} bytes, cosine mean {comparison.mean:.4f}, "
        f"p1 {comparison.p1:.4f}, min {comparison.cosines.min():.4f}, top-10 overlap {comparison.neighbours.value:.3f}{ms}"
    )


def _interpreter(recipe: Recipe) -> Path | None:
    return recipe.path(recipe.mobile.tflite_python) if recipe.mobile.tflite_python else None
