"""From the trained student to Core ML packages: float16, int8 weights, and palettes where they cost little.

An app hands the package a picture: the pixel specification's `(x - 127) / 128` is the image input's scale and bias. The
tail (pooling apart) stays in float32, so that the embedding has length 1. Nothing here runs on Core ML; `mil_program`
reads every package back and computes it, and a layer whose weights moved further than its bar fails the export.
"""

from __future__ import annotations

import gc
import json
import tempfile
import uuid
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from sightline_export.integers import running_layers
from sightline_export.mil_file import coremltools, quiet
from sightline_export.mil_program import MilProgram
from sightline_export.recipe import Mobile
from sightline_export.student import Student
from sightline_shared.errors import GoldenMismatch

IMAGE, OUTPUT = "image", "embedding"
SCALE, BIAS = 1 / 128, -127 / 128
# Operations of the tail: a sum of squares may leave float16's range.
FLOAT32_TAIL = ("reduce_l2_norm", "maximum", "tile", "real_div")
# Smaller tensors stay float16: their scales would cost as much as they save.
LEAST_WEIGHTS = 2048
# What each way of storing weights may cost a layer: |w' - w| / |w|, and the largest |w' - w| / largest |w|.
BARS = {"float16": (0.001, 0.001), "linear": (0.02, 0.008)}

Weights = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class LayerError:
    """How far a layer's stored weights are from the trained ones: relative L2 error, and the worst single weight."""

    layer: str
    stored: str
    relative: float
    worst: float


@dataclass(frozen=True)
class CoreMlPackage:
    """A verified package: its folder, its size with everything in it, and the error of every layer's weights."""

    folder: Path
    size_bytes: int
    layers: tuple[LayerError, ...]

    def program(self) -> MilProgram:
        return MilProgram.load(self.folder)


class FromPlanes(nn.Module):
    """The student behind its normalisation: `(1, 3, s, s)` scaled planes to the embedding."""

    def __init__(self, student: Student) -> None:
        super().__init__()
        self.backbone, self.head = student.backbone, student.head

    def forward(self, planes: Tensor) -> Tensor:
        return functional.normalize(self.head(self.backbone.upper(self.backbone.stem(planes), 0)))


def to_coreml(student: Student, size: int, folder: Path, settings: Mobile) -> dict[str, CoreMlPackage]:
    """Write `folder`/student.VARIANT.mlpackage for the variants that `settings.coreml` names, each read back.

    `student` is folded. Raises ExtraMissing without coremltools, GoldenMismatch when a layer's weights moved too far,
    RuntimeFailed when a package cannot be read back.
    """
    if not settings.coreml:
        return {}
    tools = coremltools()
    trained = layer_weights(student, size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = _converted(tools, student, size)
        packages: dict[str, CoreMlPackage] = {}
        for variant in settings.coreml:
            made, stored = _variant(tools, model, variant, trained, settings)
            path = folder / f"student.{variant}.mlpackage"
            made.save(str(path))
            packages[variant] = verified(path, trained, stored, size, settings)
        # Apple's objects hold temporary folders that they clean up with a warning; let it fall in here.
        del model, made
        gc.collect()
    return packages


def verified(folder: Path, trained: Weights, stored: Mapping[str, str], size: int, settings: Mobile) -> CoreMlPackage:
    """Read the package back; raises GoldenMismatch when its inputs, outputs or weights are not what was meant."""
    _tidy(folder)
    program = MilProgram.load(folder)
    seen = (program.image.name, program.image.kind, program.image.shape, program.output.name)
    if seen != (IMAGE, "image RGB", (size, size), OUTPUT):
        raise GoldenMismatch(f"{folder.name}: expected an RGB image of {size} pixels and '{OUTPUT}', got {seen}.")
    layers = weight_errors(program, trained, stored)
    for layer in layers:
        relative, worst = _bar(layer.stored, settings)
        if layer.relative > relative or layer.worst > worst:
            raise GoldenMismatch(
                f"{folder.name}: layer {layer.layer} ({layer.stored}): expected a weight error of at most {relative} and "
                f"{worst} for the worst weight, got {layer.relative:.4f} and {layer.worst:.4f}.",
                hint="The converter moved weights; leave this variant out ([mobile] coreml) and report it.",
            )
    return CoreMlPackage(folder, program.file.size_bytes, tuple(layers))


def layer_weights(student: nn.Module, size: int) -> Weights:
    """Return the trained weights by layer, in the order in which the layers run."""
    return {name: layer.weight.detach().numpy() for name, layer in running_layers(student, size).items()}


def weight_errors(program: MilProgram, trained: Weights, stored: Mapping[str, str]) -> list[LayerError]:
    """Compare the package's decompressed weights with the trained ones, layer by layer in running order."""
    found = list(program.weights.values())
    if [array.shape for array in found] != [array.shape for array in trained.values()]:
        raise GoldenMismatch(
            f"Core ML package: expected {len(trained)} layers of the student's shapes, got {len(found)}."
        )
    errors = []
    for (name, wanted), got in zip(trained.items(), found, strict=True):
        gap = np.abs(got.astype(np.float64) - wanted)
        relative = float(np.sqrt((gap**2).sum() / max(float((wanted.astype(np.float64) ** 2).sum()), 1e-30)))
        worst = float(gap.max() / max(float(np.abs(wanted).max()), 1e-30))
        errors.append(LayerError(name, stored.get(name, "float16"), relative, worst))
    return errors


def _converted(tools: Any, student: Student, size: int) -> Any:
    traced = torch.jit.trace(  # type: ignore[no-untyped-call]
        FromPlanes(student).eval(), torch.zeros((1, 3, size, size))
    )
    image = tools.ImageType(
        name=IMAGE, shape=(1, 3, size, size), scale=SCALE, bias=[BIAS] * 3, color_layout=tools.colorlayout.RGB
    )
    half = tools.transform.FP16ComputePrecision(op_selector=lambda op: op.op_type not in FLOAT32_TAIL)
    with quiet():
        return tools.convert(
            traced,
            inputs=[image],
            outputs=[tools.TensorType(name=OUTPUT, dtype=np.float32)],
            minimum_deployment_target=tools.target.iOS16,
            convert_to="mlprogram",
            compute_precision=half,
            skip_model_load=True,
        )


def _variant(tools: Any, model: Any, variant: str, trained: Weights, settings: Mobile) -> tuple[Any, dict[str, str]]:
    """Return the model with its weights stored as `variant` says, and how each layer's are stored."""
    if variant == "float16":
        return model, {}
    names = _operation_names(model, trained)
    large = [layer for layer, weight in trained.items() if weight.size > LEAST_WEIGHTS]
    palettes = _palettes(tools, model, names, trained, large, settings) if variant == "palette" else {}
    stored = {layer: f"palette{palettes[layer]}" if layer in palettes else "linear" for layer in large}
    made = _compressed(tools, model, {names[layer]: bits for layer, bits in palettes.items()})
    return made, stored


def _palettes(
    tools: Any, model: Any, names: Mapping[str, str], trained: Weights, large: Sequence[str], settings: Mobile
) -> dict[str, int]:
    """Return the bits of the smallest palette that each layer bears; layers that bear none are left out."""
    chosen: dict[str, int] = {}
    for bits in sorted(settings.palette_bits, reverse=True):
        tried = _compressed(tools, model, {names[layer]: bits for layer in large})
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "tried.mlpackage"
            tried.save(str(path))
            errors = weight_errors(MilProgram.load(path), trained, {})
        for error in errors:
            relative, worst = _bar(f"palette{bits}", settings)
            if error.layer in large and error.relative <= relative and error.worst <= worst:
                chosen[error.layer] = bits
    return chosen


def _compressed(tools: Any, model: Any, palettes: Mapping[str, int]) -> Any:
    """Return the model with these operations' weights as palettes of so many bits, the other large ones linear int8."""
    coreml = tools.optimize.coreml
    with quiet():
        if palettes:
            chosen = {
                name: coreml.OpPalettizerConfig(mode="kmeans", nbits=bits, weight_threshold=LEAST_WEIGHTS)
                for name, bits in palettes.items()
            }
            model = coreml.palettize_weights(model, coreml.OptimizationConfig(op_name_configs=chosen))
        linear = coreml.OpLinearQuantizerConfig(mode="linear_symmetric", weight_threshold=LEAST_WEIGHTS)
        return coreml.linear_quantize_weights(model, coreml.OptimizationConfig(global_config=linear))


def _operation_names(model: Any, trained: Weights) -> dict[str, str]:
    """Return the converter's own name for each layer's operation, which its compression is configured by."""
    function = model.get_spec().mlProgram.functions["main"]
    found = [
        operation.attributes["name"].immediateValue.tensor.strings.values[0]
        for operation in function.block_specializations[function.opset].operations
        if operation.type in ("conv", "linear")
    ]
    return dict(zip(trained, found, strict=True))


def _bar(stored: str, settings: Mobile) -> tuple[float, float]:
    return BARS.get(stored, (settings.palette_error, settings.palette_worst))


def _tidy(folder: Path) -> None:
    """Make equal models equal bytes: no date, and identifiers that depend on the names alone."""
    tools = coremltools()
    path = folder / "Manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    entries = {str(uuid.uuid5(uuid.NAMESPACE_URL, item["path"])): item for item in manifest["itemInfoEntries"].values()}
    root = manifest["itemInfoEntries"][manifest["rootModelIdentifier"]]["path"]
    manifest |= {"itemInfoEntries": entries, "rootModelIdentifier": str(uuid.uuid5(uuid.NAMESPACE_URL, root))}
    path.write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    spec = folder / "Data" / root
    model = tools.proto.Model_pb2.Model.FromString(spec.read_bytes())
    model.description.metadata.userDefined.pop("com.github.apple.coremltools.conversion_date", None)
    spec.write_bytes(model.SerializeToString(deterministic=True))
