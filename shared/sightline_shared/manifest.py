"""A bundle's manifest: what is in it, what it pairs with, and the SHA-256 of every file."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from sightline_shared.errors import BundleCorrupt, BundleUnsupported

FORMAT = 1
MAX_FILES = 64
MAX_FILE_BYTES = 256 * 1024 * 1024
MAX_MANIFEST_BYTES = 1024 * 1024
# Fields that readers of the first release do not know.
LATER = ("forced", "golden_min_cosines")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class FileEntry:
    """Size in bytes and SHA-256 (hex) of one file."""

    size_bytes: int
    sha256: str

    @classmethod
    def of(cls, data: bytes) -> FileEntry:
        return cls(len(data), hashlib.sha256(data).hexdigest())


@dataclass(frozen=True)
class Manifest:
    """Everything about a bundle that is not inside its files.

    `space` names the embedding space; `roles` maps a role (student, codec, gate, golden, ...) to a file name;
    `decision` holds the service's cosine thresholds; `metrics` what was measured at export, with n and source; `forced`
    the bars that the export missed and was let through with, each in words (none in an ordinary bundle).

    A runtime proves itself on the golden embeddings, which are those of the file in role "student": it must come within
    `golden_min_cosine`. A second file of the same student (role "student.tflite") is quantized in another way and may be
    a little further from them however well it is computed; `golden_min_cosines` says how far, by role, as measured when
    the bundle was made.
    """

    name: str
    version: str
    created: str
    space: str
    pixel_spec: str
    input_size: int
    dim: int
    roles: Mapping[str, str]
    files: Mapping[str, FileEntry]
    decision: Mapping[str, float]
    golden_min_cosine: float
    labels: tuple[str, ...] = ()
    metrics: Mapping[str, Any] = field(default_factory=dict)
    notice: str = ""
    forced: tuple[str, ...] = ()
    golden_min_cosines: Mapping[str, float] = field(default_factory=dict)
    format: int = FORMAT

    def tolerance(self, role: str) -> float:
        """Return the least cosine to the golden embeddings that the file in `role` must reach."""
        return self.golden_min_cosines.get(role, self.golden_min_cosine)

    def to_bytes(self) -> bytes:
        """Return manifest.json: sorted keys, so that equal manifests are equal bytes.

        What came later is left out when it is empty: readers that do not know it go on reading ordinary bundles.
        """
        fields = {key: value for key, value in asdict(self).items() if key not in LATER or value}
        return json.dumps(fields, indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"

    @classmethod
    def from_bytes(cls, data: bytes) -> Manifest:
        """Read manifest.json; raises BundleUnsupported for a newer format, BundleCorrupt for anything else wrong."""
        try:
            if len(data) > MAX_MANIFEST_BYTES:
                raise BundleCorrupt(f"manifest.json: expected at most {MAX_MANIFEST_BYTES} bytes, got {len(data)}.")
            fields = json.loads(data)
            if fields.get("format") != FORMAT:
                raise BundleUnsupported(
                    f"manifest.json: expected bundle format {FORMAT}, got {fields.get('format')!r}."
                )
            files = {_checked(name, _NAME): _entry(entry) for name, entry in fields.pop("files").items()}
            labels, decision = tuple(fields.pop("labels", ())), fields.pop("decision")
            forced = tuple(_text(line) for line in fields.pop("forced", ()))
            tolerances = {role: _cosine(value) for role, value in fields.pop("golden_min_cosines", {}).items()}
            manifest = cls(
                **fields,
                labels=labels,
                forced=forced,
                golden_min_cosines=tolerances,
                files=files,
                decision={key: float(value) for key, value in decision.items()},
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise BundleCorrupt(f"manifest.json: expected the manifest's fields, got {error!r}.") from error
        if len(files) > MAX_FILES or not set(manifest.roles.values()) <= set(files):
            raise BundleCorrupt(f"manifest.json: expected at most {MAX_FILES} files and every role's file among them.")
        if not (0 < manifest.input_size <= 1024 and 0 < manifest.dim <= 4096):
            raise BundleCorrupt(
                f"manifest.json: expected input_size <= 1024 and dim <= 4096, "
                f"got {manifest.input_size} and {manifest.dim}."
            )
        return manifest


def _checked(text: str, pattern: re.Pattern[str]) -> str:
    if not pattern.fullmatch(text):
        raise ValueError(f"{text!r} is not of the form {pattern.pattern}")
    return text


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a text")
    return value


def _cosine(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        raise ValueError(f"{value!r} is not a cosine in (0, 1]")
    return float(value)


def _entry(fields: dict[str, Any]) -> FileEntry:
    size = fields["size_bytes"]
    if not isinstance(size, int) or not 0 <= size <= MAX_FILE_BYTES:
        raise ValueError(f"size {size!r} is not in 0..{MAX_FILE_BYTES}")
    return FileEntry(size, _checked(fields["sha256"], _SHA256))
