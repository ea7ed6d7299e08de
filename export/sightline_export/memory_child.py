"""The process that `memory.py` starts: loads one artefact, embeds one picture, prints its memory as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from sightline_edge.runtimes.ort import OrtRuntime
from sightline_export.peak import peak_mib


def main(file: Path, tensor: Path) -> None:
    """Load, embed once, print."""
    pixels = np.load(tensor)
    if file.suffix == ".tflite":
        from sightline_edge.runtimes.tflite import TfliteRuntime, find_interpreter

        find_interpreter()
        import_mib = peak_mib()
        shape = TfliteRuntime(file.read_bytes()).embed(pixels).shape
    else:
        import_mib = peak_mib()
        shape = OrtRuntime(file.read_bytes()).embed(pixels).shape
    heavy = sorted({"torch", "onnx", "faiss", "coremltools"} & set(sys.modules))
    told = {"import_mib": import_mib, "peak_mib": peak_mib(), "shape": shape, "heavy_modules": heavy}
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
