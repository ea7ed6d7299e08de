"""Memory of an artefact: a fresh process that holds the device's packages alone, and grows with the file."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from support.tiny_bundle import SIZE, network

from sightline_export.memory import memory_figures
from sightline_shared.errors import RuntimeFailed

PIXELS = np.zeros((1, SIZE, SIZE, 3), np.uint8)


def fattened(megabytes: int) -> bytes:
    """The tiny network with a constant that it cannot fold away, so that it must stay in memory."""
    model = onnx.load_model_from_string(network())
    for tensor in model.graph.initializer:
        if tensor.name == "weights":
            shape, values = tuple(tensor.dims), numpy_helper.to_array(tensor)
            columns = megabytes * 2**18 // shape[0]
            wide = np.random.default_rng(0).standard_normal((shape[0], columns)).astype(np.float32)
            wide[:, : shape[1]] = values
            tensor.CopyFrom(numpy_helper.from_array(wide, "weights"))
    (output,) = model.graph.output
    output.type.tensor_type.shape.dim[1].dim_value = columns
    return model.SerializeToString()


def test_a_larger_file_needs_the_memory_that_it_is_larger_by(tmp_path: Path) -> None:
    small, large = tmp_path / "small.onnx", tmp_path / "large.onnx"
    small.write_bytes(network())
    large.write_bytes(fattened(64))
    figures = memory_figures([small, large], PIXELS)
    peaks = [figures[f"memory.{name}.onnx.peak_mib"] for name in ("small", "large")]
    own = [figures[f"memory.{name}.onnx.own_mib"].value for name in ("small", "large")]
    assert 64 < peaks[1].value - peaks[0].value < 64 * 5
    assert peaks[0].n == 3 and peaks[0].interval is not None and 0 < own[0] < peaks[0].value < 200
    assert own[1] - own[0] > 64


def test_the_process_holds_no_converter(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(network())
    np.save(tmp_path / "p.npy", PIXELS)
    command = [sys.executable, "-m", "sightline_export.memory_child", str(tmp_path / "m.onnx"), str(tmp_path / "p.npy")]
    told = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert told["heavy_modules"] == [] and told["shape"] == [1, 256]


def test_a_file_that_does_not_load_is_told(tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    with pytest.raises(RuntimeFailed, match="broken"):
        memory_figures([tmp_path / "broken.onnx"], PIXELS)
