"""From the trained student to TFLite files, in an interpreter of their own.

litert-torch wants older packages than the rest of the export tool (typing_extensions below 4.13), so the conversion runs
as a subprocess in an interpreter that the recipe names. It is handed a torch.export program and photographs as plain
arrays: no class of this side is needed to read them.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from sightline_export import tflite_worker
from sightline_export.integers import IntegerLayer
from sightline_shared.errors import ExtraMissing, RuntimeFailed

PACKAGES = ("torch==2.13.0", "litert-torch==0.10.0", "ai-edge-litert==2.3.0", "ai-edge-quantizer==0.10.0")
TIMEOUT_S = 1800
_PROBE = "import torch, litert_torch, ai_edge_quantizer; print(torch.__version__.partition('+')[0])"


def to_tflite(
    student: nn.Module,
    pixels: NDArray[np.uint8],
    kinds: Sequence[str],
    python: Path | None = None,
    layers: Sequence[IntegerLayer] = (),
) -> dict[str, bytes]:
    """Return the TFLite files by kind, "fp32" always among them; input `(1, s, s, 3) uint8`, output of length 1.

    `student` is folded; `pixels` `(n, s, s, 3) uint8` set the ranges of the static kind. `python` is the interpreter
    that has litert-torch, None for this one. With `layers` the files hold exactly these integers, which the student's
    weights must stand for (`integers.with_integers`). Raises ExtraMissing when it has not, RuntimeFailed when the conversion
    fails.
    """
    interpreter = str(python or sys.executable)
    check_interpreter(interpreter)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        torch.export.save(exported(student, pixels), folder / "student.pt2")
        np.save(folder / "calibration.npy", pixels, allow_pickle=False)
        if layers:
            np.savez(folder / "scales.npz", allow_pickle=False, **_scales(layers))
        _run([interpreter, str(Path(tflite_worker.__file__)), name, *kinds])
        files = {kind: folder / f"student.{kind}.tflite" for kind in ("fp32", *kinds)}
        missing = [kind for kind, file in files.items() if not file.is_file()]
        if missing:
            raise RuntimeFailed(f"TFLite conversion: expected the kinds {list(files)}, got none of {missing}.")
        return {kind: file.read_bytes() for kind, file in files.items()}


def _scales(layers: Sequence[IntegerLayer]) -> dict[str, Any]:
    table = {}
    for index, layer in enumerate(layers):
        table[f"peaks_{index}"] = np.abs(layer.weight).reshape(len(layer.values), -1).max(axis=1)
        table[f"scales_{index}"] = layer.scales
    return table


def exported(student: nn.Module, pixels: NDArray[np.uint8]) -> torch.export.ExportedProgram:
    """Return the student as a torch.export program for one picture; its example input is not saved with it."""
    program = torch.export.export(student.eval(), (torch.from_numpy(pixels[:1].copy()),))
    program._example_inputs = None  # weights and program are plain files in the archive; so is nothing left to unpickle
    return program


def check_interpreter(python: str) -> None:
    """Raise ExtraMissing unless `python` has litert-torch and the same torch as this process."""
    lines = f"python3.11 -m venv tflite-env && tflite-env/bin/pip install {' '.join(PACKAGES)}"
    hint = f"Run: {lines}\nand set [mobile] tflite_python to tflite-env/bin/python."
    try:
        done = subprocess.run([python, "-c", _PROBE], capture_output=True, text=True, timeout=TIMEOUT_S, check=False)  # noqa: S603
    except OSError as error:
        raise ExtraMissing(f"TFLite: expected a Python at {python}, got '{error.strerror}'.", hint=hint) from error
    if done.returncode:
        raise ExtraMissing(f"TFLite: expected litert-torch under {python}, got '{_last(done.stderr)}'.", hint=hint)
    here, there = torch.__version__.partition("+")[0], done.stdout.strip()
    if here != there:
        raise ExtraMissing(f"TFLite: expected torch {here} under {python}, got {there}.", hint=hint)


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)  # noqa: S603
    except subprocess.TimeoutExpired as error:
        raise RuntimeFailed(f"TFLite conversion: expected an end within {TIMEOUT_S} s, got none.") from error
    if done.returncode:
        raise RuntimeFailed(f"TFLite conversion: expected files, got '{_last(done.stderr)}'.")


def _last(text: str) -> str:
    return (text.strip().splitlines() or ["no message"])[-1][:300]
