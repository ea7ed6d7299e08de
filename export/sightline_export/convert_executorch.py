"""An optional target: the float student as an ExecuTorch program (`.pte`) for XNNPACK.

ExecuTorch wants packages of its own beside torch; it is asked for by name and never needed by anything else.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from sightline_shared.errors import ExtraMissing, GoldenMismatch

MIN_COSINE = 0.9999


def to_executorch(student: nn.Module, size: int) -> bytes:
    """Return the `.pte` program of a folded student, input `(1, size, size, 3) uint8`; raises ExtraMissing."""
    lower = _module("executorch.exir")
    partitioner = _module("executorch.backends.xnnpack.partition.xnnpack_partitioner")
    example = (torch.zeros((1, size, size, 3), dtype=torch.uint8),)
    program = torch.export.export(student.eval(), example)
    lowered = lower.to_edge_transform_and_lower(program, partitioner=[partitioner.XnnpackPartitioner()])
    data: bytes = lowered.to_executorch().buffer
    return data


def run_executorch(program: bytes, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the program's embeddings `(n, d)` of `pixels` `(n, s, s, 3) uint8`, one at a time; raises ExtraMissing."""
    runtime = _module("executorch.runtime").Runtime.get()
    method = runtime.load_program(program).load_method("forward")
    rows = [method.execute([torch.from_numpy(picture[None].copy())])[0].numpy().copy() for picture in pixels]
    return np.concatenate(rows)


def write_executorch(student: nn.Module, size: int, probe: NDArray[np.uint8], path: Path) -> bytes:
    """Write the program after it has given the float student's embeddings of `probe`; raises GoldenMismatch."""
    program = to_executorch(student, size)
    with torch.inference_mode():
        expected = student(torch.from_numpy(probe)).numpy()
    worst = float((run_executorch(program, probe) * expected).sum(axis=1).min())
    if worst < MIN_COSINE:
        raise GoldenMismatch(f"{path.name}: expected a cosine of {MIN_COSINE} to the float student, got {worst:.4f}.")
    path.write_bytes(program)
    return program


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ExtraMissing(
            "ExecuTorch: expected the package 'executorch', got none.",
            hint="In an environment of its own, run: pip install executorch==1.5.1 and 'sightline[export]'.",
        ) from error
