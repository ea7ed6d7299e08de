"""How much memory a device process needs for one artefact: a fresh process loads the file and embeds once.

The process imports the device's packages only, so that torch and the converters do not count.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sightline_export.evaluate import Figure, statistic_figure
from sightline_shared.errors import RuntimeFailed

STARTS = 3


def memory_figures(files: Sequence[Path], pixels: NDArray[np.uint8]) -> dict[str, Figure]:
    """Return "memory.FILE.peak_mib" and "memory.FILE.own_mib" of each `.onnx`, `.ort` and `.tflite` file.

    `pixels` `(1, s, s, 3) uint8` is embedded once on one thread. The peak is the whole process's resident memory, "own"
    what loading and embedding added to it after the imports. Raises RuntimeFailed when a file does not load.
    """
    found: dict[str, Figure] = {}
    for file in files:
        runs = np.array([_measure(file, pixels) for _ in range(STARTS)], dtype=np.float64)
        data = f"fresh process, one embedding, median of {STARTS} starts"
        for index, what in enumerate(("peak_mib", "own_mib")):
            figure = statistic_figure(runs[:, index], lambda drawn: float(np.median(drawn)), data)
            found[f"memory.{file.name}.{what}"] = figure
    return found


def _measure(file: Path, pixels: NDArray[np.uint8]) -> tuple[float, float]:
    """Return (peak, peak - peak after the imports) in MiB of one process."""
    with tempfile.TemporaryDirectory() as folder:
        tensor = Path(folder) / "pixels.npy"
        np.save(tensor, pixels)
        command = [sys.executable, "-m", "sightline_export.memory_child", str(file), str(tensor)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  our own module
    if done.returncode:
        raise RuntimeFailed(f"{file.name}: expected an embedding in a fresh process, got: {done.stderr.strip()[-300:]}")
    told = json.loads(done.stdout)
    return told["peak_mib"], told["peak_mib"] - told["import_mib"]
