"""The float student that the int8 one is compared with."""

from __future__ import annotations

from pathlib import Path

from sightline_edge.device import Device
from sightline_edge.runtimes import Runtime
from sightline_edge.runtimes.ort import OrtRuntime
from sightline_shared.bundle import Bundle
from sightline_shared.errors import BundleNotFound

KEPT = Path(__file__).parent


def reference_runtime(device: Device, named: str | None) -> Runtime | None:
    """Return the float student in the file `named`, else the one kept here for the device's int8 student, if any.

    The kept file holds the float student that the default bundle was made from, its weights stored as float16; its name
    carries the head of the int8 student's SHA-256. For another bundle there is none, and the float column is left out.
    Raises BundleNotFound for a named file that is not there.
    """
    if named:
        if not Path(named).is_file():
            raise BundleNotFound(f"--float-model: expected an ONNX file, got {named}.", hint="See the run's folder.")
        return OrtRuntime(Path(named).read_bytes(), threads=2)
    kept = kept_float_model(device.bundle)
    return OrtRuntime(kept.read_bytes(), threads=2) if kept else None


def kept_float_model(bundle: Bundle) -> Path | None:
    """Return the file of the float student that `bundle` was made from, if it is kept here."""
    manifest = bundle.manifest
    kept = KEPT / f"float16-of-{manifest.files[manifest.roles['student']].sha256[:12]}.onnx"
    return kept if kept.is_file() else None
