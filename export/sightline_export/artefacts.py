"""Every form in which the student leaves the export, each behind the code that runs it on a device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from sightline_edge.runtimes.ort import OrtRuntime
from sightline_edge.runtimes.tflite import TfliteRuntime, find_interpreter
from sightline_export.convert_coreml import CoreMlPackage
from sightline_export.convert_onnx import INPUT, open_session
from sightline_export.mil_program import NOTE

Pixels = NDArray[np.uint8]
Embed = Callable[[Pixels], NDArray[np.float32]]


@dataclass(frozen=True)
class Artefact:
    """One file: `embed` maps `(n, s, s, 3) uint8` to `(n, d) float32` by the device's own code where there is one.

    `bare` is one call of the runtime without our code around it, for timing; None where the time says nothing about a
    device (torch, Core ML's program). `shipped` artefacts must reach the bars; `note` goes wherever a figure goes.
    """

    name: str
    size_bytes: int
    embed: Embed
    bare: Callable[[Pixels], object] | None = None
    shipped: bool = True
    note: str = ""


def from_torch(student: nn.Module) -> Artefact:
    """The float student itself, folded: the reference of every other artefact."""
    size = sum(value.numel() * value.element_size() for value in student.state_dict().values())

    def embed(pixels: Pixels) -> NDArray[np.float32]:
        with torch.inference_mode():
            rows: NDArray[np.float32] = student(torch.from_numpy(pixels.copy())).numpy()
        return rows

    return Artefact("torch", size, embed, shipped=False)


def from_onnx(name: str, model: bytes, *, shipped: bool = True) -> Artefact:
    """An ONNX model, or the same in ONNX Runtime's own format (.ort), under the device's ONNX Runtime."""
    session = open_session(model, threads=1)
    return Artefact(
        name,
        len(model),
        OrtRuntime(model).embed,
        lambda pixels: session.run(None, {INPUT: pixels}),
        shipped,
    )


def from_tflite(name: str, model: bytes, *, shipped: bool = True) -> Artefact:
    """A TFLite file under the device's TFLite runtime; raises ExtraMissing when none is installed."""
    interpreter = find_interpreter()[0].Interpreter(model_content=model, num_threads=1)
    interpreter.allocate_tensors()
    given, made = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

    def bare(pixels: Pixels) -> object:
        interpreter.set_tensor(given, pixels)
        interpreter.invoke()
        return interpreter.get_tensor(made)

    return Artefact(name, len(model), TfliteRuntime(model).embed, bare, shipped)


def from_coreml(name: str, package: CoreMlPackage, *, shipped: bool = True) -> Artefact:
    """A Core ML package by its program: the numbers are its own, the time is not."""
    return Artefact(name, package.size_bytes, package.program().embed, None, shipped, NOTE)
