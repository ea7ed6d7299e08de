"""The float student that the int8 one is compared with."""

from __future__ import annotations

import hashlib
from pathlib import Path

from sightline_edge.device import Device
from sightline_edge.runtimes import Runtime
from sightline_edge.runtimes.ort import OrtRuntime
from sightline_shared.errors import BundleCorrupt, BundleNotFound

KEPT = Path(__file__).parent / "student.float16.onnx"


def reference_runtime(device: Device, named: str | None) -> Runtime | None:
    """Return the float student in the file `named`, else the kept one when it belongs to the device's bundle.

    The kept file is the float student that the default bundle was made from, weights stored as float16. The bundle's
    manifest names its SHA-256 under metrics "float_reference_sha256"; for another bundle there is none, and the float
    column is left out. Raises BundleNotFound for a named file that is not there.
    """
    if named:
        if not Path(named).is_file():
            raise BundleNotFound(
                f"--float-model: expected an ONNX file, got {named}.", hint="See runs/NAME of the export."
            )
        return OrtRuntime(Path(named).read_bytes(), threads=2)
    expected = device.bundle.manifest.metrics.get("float_reference_sha256")
    if not expected or not KEPT.is_file():
        return None
    model = KEPT.read_bytes()
    if hashlib.sha256(model).hexdigest() != expected:
        raise BundleCorrupt(f"{KEPT}: expected the float student of bundle {device.bundle.label}, got another file.")
    return OrtRuntime(model, threads=2)
