"""The text tower's folder: what turns a text into a vector, and that into a direction among one bundle's pictures.

`tower.json` names every file with its size and SHA-256, the bundle's pairing id, and how the projection was chosen. The
files: `encoder.onnx` (word pieces `(1, n) int64` in, `(1, width) float32` of unit length out), `vocabulary.txt` (one piece a
line), `projection.bin` (`(dim, width)` weights and `(dim,)` bias, float32, little-endian). Opening reads each file at its
stated size and hashes it; only bytes that hash right reach a parser. The encoder is a third party's and in no bundle.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline_shared.bundle import read_capped
from sightline_shared.codec import MAX_DIM
from sightline_shared.errors import BundleCorrupt, BundleNotFound, BundleUnsupported, InputError
from sightline_shared.manifest import FileEntry
from sightline_shared.versions import PAIRING_BYTES
from sightline_shared.wordpiece import WordPiece

FORMAT = 1
MANIFEST = "tower.json"
ENCODER, VOCABULARY, PROJECTION = "encoder.onnx", "vocabulary.txt", "projection.bin"
FILE = "text tower file"
# What a file may take: an encoder of 60 million float32 parameters, any vocabulary, and the largest projection.
MAX_BYTES = {ENCODER: 256 * 1024 * 1024, VOCABULARY: 8 * 1024 * 1024, PROJECTION: 64 * 1024 * 1024}
MAX_MANIFEST_BYTES = 64 * 1024
MAX_WIDTH = 4096
INPUT, OUTPUT = "pieces", "vector"
# A query's 512 bytes of English are about 120 pieces; what an item says beyond that adds little.
MAX_PIECES = 128

Vectors = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Projection:
    """The affine map from text vectors to directions from the mean picture: `weight` `(dim, width)`, `bias` `(dim,)`, float32."""

    weight: Vectors
    bias: Vectors

    def apply(self, texts: Vectors) -> Vectors:
        """Return unit vectors `(n, dim)` for text vectors `(n, width)`."""
        raw = texts @ self.weight.T + self.bias
        unit: Vectors = (raw / np.maximum(np.linalg.norm(raw, axis=1, keepdims=True), 1e-12)).astype(np.float32)
        return unit

    def to_bytes(self) -> bytes:
        return self.weight.astype("<f4").tobytes() + self.bias.astype("<f4").tobytes()

    @classmethod
    def from_bytes(cls, data: bytes, dim: int, width: int) -> Projection:
        """Raises BundleCorrupt."""
        numbers = np.frombuffer(data, "<f4") if len(data) % 4 == 0 else np.empty(0, "<f4")
        if numbers.size != dim * (width + 1) or not np.isfinite(numbers).all():
            raise BundleCorrupt(f"{PROJECTION}: expected {dim} x {width + 1} finite float32, got {len(data)} bytes.")
        split = dim * width
        return cls(numbers[:split].reshape(dim, width).astype(np.float32), numbers[split:].astype(np.float32))


@dataclass(frozen=True, eq=False)
class TowerFiles:
    """A verified tower in memory: `label` is the bundle's it was made with, `encoder` the bytes of an ONNX model.

    `metrics` is what was measured when it was made.
    """

    name: str
    pairing_id: bytes
    label: str
    encoder: bytes
    vocabulary: WordPiece
    projection: Projection
    metrics: Mapping[str, Any] = field(default_factory=dict)


def write_tower(
    directory: Path,
    *,
    name: str,
    pairing_id: bytes,
    label: str,
    encoder: bytes,
    vocabulary: bytes,
    projection: Projection,
    metrics: Mapping[str, Any],
) -> TowerFiles:
    """Write a tower into the new folder `directory`, which appears whole or not at all, and open it.

    Raises InputError when `directory` exists already.
    """
    if directory.exists():
        raise InputError(f"tower {directory}: expected a folder that does not exist yet.", hint="Choose another name.")
    files = {ENCODER: encoder, VOCABULARY: vocabulary, PROJECTION: projection.to_bytes()}
    dim, width = projection.weight.shape
    manifest = {
        "format": FORMAT,
        "name": name,
        "pairing_id": pairing_id.hex(),
        "bundle": label,
        "dim": dim,
        "width": width,
        "files": {each: vars(FileEntry.of(data)) for each, data in files.items()},
        "metrics": dict(metrics),
    }
    written = {**files, MANIFEST: json.dumps(manifest, indent=1, sort_keys=True).encode() + b"\n"}
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory.parent, prefix=".tower-") as temporary:
        aside = Path(temporary) / "tower"
        aside.mkdir()
        for each, data in written.items():
            with open(aside / each, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        os.rename(aside, directory)
    return open_tower(directory)


def open_tower(directory: Path) -> TowerFiles:
    """Read and verify the tower in `directory`; raises BundleNotFound, BundleCorrupt, BundleUnsupported."""
    if not (directory / MANIFEST).is_file():
        raise BundleNotFound(
            f"expected a text tower at {directory}, got no {MANIFEST} there.",
            hint="'sightline export text' makes one.",
        )
    fields = _manifest(read_capped(directory / MANIFEST, MAX_MANIFEST_BYTES, FILE))
    files = {}
    for name, most in MAX_BYTES.items():
        entry = fields["files"][name]
        if not isinstance(entry.size_bytes, int) or not 0 <= entry.size_bytes <= most:
            raise _corrupt(f"{name} of at most {most} bytes", entry.size_bytes)
        files[name] = read_capped(directory / name, entry.size_bytes, FILE)
        if FileEntry.of(files[name]) != entry:
            raise _corrupt(f"{name} to hash to {str(entry.sha256)[:12]}...", FileEntry.of(files[name]).sha256[:12])
    return TowerFiles(
        name=fields["name"],
        pairing_id=fields["pairing_id"],
        label=fields["bundle"],
        encoder=files[ENCODER],
        vocabulary=WordPiece.from_bytes(files[VOCABULARY]),
        projection=Projection.from_bytes(files[PROJECTION], fields["dim"], fields["width"]),
        metrics=fields["metrics"],
    )


def _manifest(data: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(data)
        if fields["format"] != FORMAT:
            raise BundleUnsupported(f"{MANIFEST}: expected tower format {FORMAT}, got {fields['format']!r:.40}.")
        fields["pairing_id"] = bytes.fromhex(fields["pairing_id"])
        fields["files"] = {
            name: FileEntry(fields["files"][name]["size_bytes"], fields["files"][name]["sha256"]) for name in MAX_BYTES
        }
        sizes = ((fields["dim"], MAX_DIM), (fields["width"], MAX_WIDTH))
        if not all(type(size) is int and 0 < size <= most for size, most in sizes):
            raise _corrupt(f"dim <= {MAX_DIM} and width <= {MAX_WIDTH}", [size for size, _ in sizes])
        texts = (fields["name"], fields["bundle"])
        if not all(isinstance(text, str) for text in texts) or len(fields["pairing_id"]) != PAIRING_BYTES:
            raise _corrupt(f"names, and a pairing id of {PAIRING_BYTES} bytes", texts)
        if not isinstance(fields["metrics"], dict):
            raise _corrupt("metrics as a map", fields["metrics"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BundleCorrupt(f"{MANIFEST}: expected the tower's fields, got {error!r:.200}.") from error
    return dict(fields)


def _corrupt(expected: str, got: object) -> BundleCorrupt:
    return BundleCorrupt(
        f"text tower: expected {expected}, got {got!r:.80}.", hint="Make it again: 'sightline export text'."
    )
