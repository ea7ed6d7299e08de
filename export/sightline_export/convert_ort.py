"""The int8 student in ONNX Runtime's own format, and what a runtime must contain to run it.

A `.ort` file is the graph after the optimiser: it loads without it, in the reduced builds of ONNX Runtime that apps
carry (`build.sh --minimal_build extended --include_ops_by_config FILE --enable_reduced_operator_type_support`). The
config names every operator and type that the file needs. Only int8 is worth it: a float file loses the layout that
ONNX Runtime chooses for the machine it runs on (2.7 times as slow here).
"""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sightline_edge.runtimes.ort import OrtRuntime
from sightline_shared.errors import GoldenMismatch, RuntimeFailed

CONFIG = "required_operators.config"
# The file is the same computation: only the order of a few float operations may differ.
TOLERANCE = 1e-4


@dataclass(frozen=True)
class OrtFile:
    """The bytes of the `.ort` file, and the text of its operator config."""

    model: bytes
    config: str

    @property
    def operators(self) -> dict[str, list[str]]:
        """The operators by domain, as the config has them."""
        found: dict[str, list[str]] = {}
        for line in self.config.splitlines():
            if not line.startswith("#") and line.count(";") >= 2:
                domain, _, names = line.split(";", 2)
                found.setdefault(domain, []).extend(_names(names))
        return found


def to_ort(model: bytes, probe: NDArray[np.uint8]) -> OrtFile:
    """Convert an ONNX file; the result must embed `probe` `(n, s, s, 3) uint8` as the ONNX file does.

    Raises RuntimeFailed when ONNX Runtime cannot convert it, GoldenMismatch when the embeddings differ.
    """
    with tempfile.TemporaryDirectory() as folder:
        source, made = Path(folder) / "in" / "student.onnx", Path(folder) / "out"
        source.parent.mkdir()
        source.write_bytes(model)
        _convert(source, made)
        (file,) = made.glob("*.ort")
        (config,) = made.glob("*.config")
        result = OrtFile(file.read_bytes(), _without_paths(config.read_text()))
    expected, got = OrtRuntime(model).embed(probe), OrtRuntime(result.model).embed(probe)
    worst = float(np.abs(expected - got).max())
    if worst > TOLERANCE:
        raise GoldenMismatch(
            f".ort file: expected the ONNX file's embeddings within {TOLERANCE}, got a gap of {worst:.2g}."
        )
    return result


def write_ort(model: bytes, probe: NDArray[np.uint8], folder: Path, stem: str = "student.int8") -> OrtFile:
    """Convert, and write STEM.ort and required_operators.config into `folder`."""
    made = to_ort(model, probe)
    (folder / f"{stem}.ort").write_bytes(made.model)
    (folder / CONFIG).write_text(made.config)
    return made


def _convert(source: Path, made: Path) -> None:
    root = logging.getLogger()
    handlers = list(root.handlers)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # the tool leaves the file open that it reads back
            # Imported here: the tool hangs a handler on the root logger when it is imported.
            from onnxruntime.tools.convert_onnx_models_to_ort import OptimizationStyle, convert_onnx_models_to_ort

            logging.getLogger("ort_format_model.utils").setLevel(logging.WARNING)
            convert_onnx_models_to_ort(
                source.parent,
                output_dir=made,
                optimization_styles=[OptimizationStyle.Fixed],
                enable_type_reduction=True,
            )
    except Exception as error:  # a dozen unrelated classes, as everywhere in ONNX Runtime
        raise RuntimeFailed(f"ONNX Runtime could not convert the student to .ort: {str(error)[:300]}") from error
    finally:
        root.handlers[:] = handlers


def _without_paths(config: str) -> str:
    """Drop the comment that says which temporary files the config came from."""
    return "\n".join(line for line in config.splitlines() if not line.startswith("#")) + "\n"


def _names(text: str) -> list[str]:
    """Split `Conv{...},Add` at the commas outside of braces, and drop what is in them."""
    names, depth = [""], 0
    for letter in text:
        depth += (letter == "{") - (letter == "}")
        if depth == 0 and letter == ",":
            names.append("")
        elif depth == 0 and letter != "}":
            names[-1] += letter
    return [name for name in names if name]
