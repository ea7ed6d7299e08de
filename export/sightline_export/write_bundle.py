"""The last step: the files, the manifest that names them, and the folder that appears whole."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from sightline_edge.device import Device
from sightline_edge.gate import Gate
from sightline_export import mobile
from sightline_export.data import PhotoSet
from sightline_export.evaluate import Figure
from sightline_export.recipe import Recipe
from sightline_shared import confidence
from sightline_shared.bundle import Bundle, write_bundle
from sightline_shared.codec import Codec
from sightline_shared.confidence import Calibration
from sightline_shared.golden import Golden
from sightline_shared.heads import Heads
from sightline_shared.manifest import FileEntry, Manifest
from sightline_shared.preprocess import SPEC_ID

# Two machines may round an activation differently; a broken kernel or resize falls far below this.
GOLDEN_MIN_COSINE = 0.99
DECISION_FILE = "decision.json"
ROLES = {
    "student": "student.int8.onnx",
    "codec": "codec.msgpack",
    "gate": "gate.msgpack",
    "heads": "heads.msgpack",
    "golden": "golden.msgpack",
}


def write(
    folder: Path,
    recipe: Recipe,
    photos: PhotoSet,
    model: bytes,
    codec: Codec,
    gate: Gate,
    heads: Heads,
    golden: Golden,
    decision: Mapping[str, float],
    found: Mapping[str, Figure],
    forced: Sequence[str] = (),
    tflite: bytes = b"",
    calibration: Calibration | None = None,
) -> Bundle:
    """Write the bundle, open it as a device does (golden check included), and return it.

    `forced` are the bars that were missed and let through; the manifest keeps them. `tflite` is the TFLite student
    (b"" for none); it is opened and proved as well. `calibration` holds the decision's models, None for thresholds alone.
    """
    files = {
        ROLES["student"]: model,
        ROLES["codec"]: codec.to_bytes(),
        ROLES["gate"]: gate.to_bytes(),
        ROLES["heads"]: heads.to_bytes(),
        ROLES["golden"]: golden.to_bytes(),
    }
    roles, tolerances = dict(ROLES), {}
    if tflite:
        roles[mobile.ROLE] = mobile.FILE
        files[mobile.FILE] = tflite
        tolerances[mobile.ROLE] = mobile.golden_tolerance(tflite, golden, GOLDEN_MIN_COSINE)
    labelled = [photo for photo in photos.photos if photo.labelled and photo.role == "train"]
    if calibration:
        roles[confidence.ROLE] = DECISION_FILE
        files[DECISION_FILE] = calibration.to_bytes()
    manifest = Manifest(
        name=recipe.name,
        version=recipe.version,
        created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        space=f"{recipe.name}-{recipe.version}-{hashlib.sha256(model).hexdigest()[:12]}",
        pixel_spec=SPEC_ID,
        input_size=recipe.student.size,
        dim=recipe.student.dimension,
        roles=roles,
        files={name: FileEntry.of(data) for name, data in files.items()},
        decision={name: round(value, 6) for name, value in decision.items()},
        golden_min_cosine=GOLDEN_MIN_COSINE,
        labels=tuple(sorted({photo.coarse for photo in labelled})),
        metrics={name: figure.to_dict() for name, figure in found.items()},
        notice=recipe.notice,
        forced=tuple(forced),
        golden_min_cosines=tolerances,
    )
    bundle = write_bundle(folder, manifest, files)
    Device.load(bundle)
    if tflite:
        Device.load(bundle, runtime="tflite")
    return bundle
