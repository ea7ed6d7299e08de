"""The last step: the files, the manifest that names them, and the folder that appears whole."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from sightline_edge.device import Device
from sightline_edge.gate import Gate
from sightline_export.data import PhotoSet
from sightline_export.evaluate import Figure
from sightline_export.recipe import Recipe
from sightline_shared.bundle import Bundle, write_bundle
from sightline_shared.codec import Codec
from sightline_shared.golden import Golden
from sightline_shared.manifest import FileEntry, Manifest
from sightline_shared.preprocess import SPEC_ID

# Two machines may round an activation differently; a broken kernel or resize falls far below this.
GOLDEN_MIN_COSINE = 0.99
ROLES = {
    "student": "student.int8.onnx",
    "codec": "codec.msgpack",
    "gate": "gate.msgpack",
    "golden": "golden.msgpack",
}


def write(
    folder: Path,
    recipe: Recipe,
    photos: PhotoSet,
    model: bytes,
    codec: Codec,
    gate: Gate,
    golden: Golden,
    decision: Mapping[str, float],
    found: Mapping[str, Figure],
) -> Bundle:
    """Write the bundle, open it as a device does (golden check included), and return it."""
    files = {
        ROLES["student"]: model,
        ROLES["codec"]: codec.to_bytes(),
        ROLES["gate"]: gate.to_bytes(),
        ROLES["golden"]: golden.to_bytes(),
    }
    labelled = [photo for photo in photos.photos if photo.labelled and photo.role == "train"]
    manifest = Manifest(
        name=recipe.name,
        version=recipe.version,
        created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        space=f"{recipe.name}-{recipe.version}-{hashlib.sha256(model).hexdigest()[:12]}",
        pixel_spec=SPEC_ID,
        input_size=recipe.student.size,
        dim=recipe.student.dimension,
        roles=ROLES,
        files={name: FileEntry.of(data) for name, data in files.items()},
        decision={name: round(value, 6) for name, value in decision.items()},
        golden_min_cosine=GOLDEN_MIN_COSINE,
        labels=tuple(sorted({photo.coarse for photo in labelled})),
        metrics={name: figure.to_dict() for name, figure in found.items()},
        notice=recipe.notice,
    )
    bundle = write_bundle(folder, manifest, files)
    Device.load(bundle)
    return bundle
