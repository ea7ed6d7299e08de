"""The stages that make the mobile files and hold every artefact of the run against the float student."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sightline_edge.gate import Gate
from sightline_export import artefacts, mobile, parity
from sightline_export.data import PhotoSet
from sightline_export.evaluate import Figure
from sightline_export.memory import memory_figures
from sightline_export.mobile import MobileFiles, make_mobile
from sightline_export.parity import Comparison, Decide, Trial
from sightline_export.student import Student
from sightline_export.workspace import Run
from sightline_shared.heads import Heads

TRIAL_PHOTOS = 300
GALLERY_PHOTOS = 1500
Vectors = NDArray[np.float32]


def trial_of(run: Run, photos: PhotoSet, floats: Vectors, decide: Mapping[str, Decide]) -> Trial:
    """Return held-out photographs with the float student's embeddings `floats` `(n, d)`, and a gallery to search."""
    rng = np.random.default_rng(run.recipe.seed)
    rows = rng.permutation(np.concatenate([photos.where(role="val"), photos.where(role="test")]))[:TRIAL_PHOTOS]
    train = rng.permutation(photos.where(role="train", kind="catalogue"))[:GALLERY_PHOTOS]
    data = f"{len(rows)} held-out photographs, {len(train)} in the gallery"
    return Trial(photos.tensors[rows], floats[rows], floats[train], data, decide)


def mobile_files(run: Run, photos: PhotoSet, student: Student, int8_model: bytes, trial: Trial) -> MobileFiles:
    """Make what `[mobile]` asks for of the folded student, calibrated on the photographs of the ONNX one."""
    rows = np.random.default_rng(run.recipe.seed).permutation(photos.where(role="train"))
    return make_mobile(run, student, int8_model, photos.tensors[rows[: run.recipe.calibration_images]], trial)


def measure_artefacts(run: Run, student: Student, files: MobileFiles, trial: Trial) -> list[Comparison]:
    """Compare torch, every ONNX and .ort file in the run's folder, TFLite and Core ML; writes parity.json."""
    found = [artefacts.from_torch(student)]
    found += [artefacts.from_onnx(name, path.read_bytes()) for name, path in onnx_files(run).items()]
    comparisons = parity.compare([*found, *mobile.shipped_artefacts(files)], trial)
    for comparison in comparisons:
        run.progress.say(mobile.summary(comparison))
    table = {name: figure.to_dict() for name, figure in figures_of(comparisons).items()}
    layers = {variant: [vars(layer) for layer in package.layers] for variant, package in sorted(files.coreml.items())}
    body = {"figures": table, "tflite_kind": files.kind, "coreml_layers": layers}
    (run.folder / "parity.json").write_text(json.dumps(body, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return comparisons


def onnx_files(run: Run) -> dict[str, Path]:
    """Return the run's ONNX and .ort files by the artefact's name, such as "onnx-int8"."""
    paths = sorted([*run.folder.glob("student.*.onnx"), *run.folder.glob("student.*.ort")])
    return {f"{path.suffix[1:]}-{path.stem.partition('.')[2]}": path for path in paths}


def memory_of(run: Run, files: MobileFiles, trial: Trial) -> dict[str, Figure]:
    """Return "parity.ARTEFACT.peak_rss_mib" of every file that a device process can load here."""
    paths = onnx_files(run)
    if files.tflite:
        paths["tflite-int8"] = run.folder / mobile.FILE
    measured = memory_figures(list(paths.values()), trial.pixels[:1])
    return {f"parity.{name}.peak_rss_mib": measured[f"memory.{path.name}.peak_mib"] for name, path in paths.items()}


def figures_of(comparisons: Sequence[Comparison]) -> dict[str, Figure]:
    """Return the figures of every artefact by name."""
    return {name: figure for comparison in comparisons for name, figure in comparison.figures().items()}


def gate_decision(gate: Gate) -> Decide:
    """Return the device's decision by its gate: stop, unsure or go for each embedding `(n, d)`."""

    def decide(vectors: Vectors) -> list[object]:
        scores = gate.scores(vectors)
        return ["stop" if s < gate.reject_below else "unsure" if s < gate.sure_above else "go" for s in scores]

    return decide


def route_decision(heads: Heads) -> Decide:
    """Return the device's decision by its sensitive head: whether each embedding `(n, d)` counts as sensitive."""

    def decide(vectors: Vectors) -> list[object]:
        head = heads.sensitive
        return [False] * len(vectors) if head is None else list(head.scores(vectors) >= head.unsure_above)

    return decide
