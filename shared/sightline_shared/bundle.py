"""The bundle: one verified folder that device and service both open.

`manifest.json` names every file with its size and SHA-256. Opening reads the manifest, then reads each file into
memory at its stated size and hashes it; only bytes that hash right are ever handed to a parser. A file that the
manifest does not name is refused too, so that nothing rides along.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sightline_shared import confidence
from sightline_shared.codec import Codec
from sightline_shared.confidence import Calibration
from sightline_shared.errors import BundleCorrupt, BundleNotFound, DecisionInvalid, GoldenMismatch, InputError
from sightline_shared.golden import Golden
from sightline_shared.heads import Heads
from sightline_shared.manifest import FileEntry, Manifest
from sightline_shared.versions import Pairing

MANIFEST = "manifest.json"

Embed = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class Bundle:
    """A verified bundle in memory; `files` maps names to bytes that hash to what the manifest says."""

    manifest: Manifest
    files: Mapping[str, bytes]
    digest: str

    def role(self, role: str) -> bytes:
        """Return the bytes of the file in `role`; raises BundleCorrupt when the bundle has none."""
        name = self.manifest.roles.get(role)
        if name is None:
            raise BundleCorrupt(
                f"bundle {self.label}: expected a file in role '{role}', got roles {sorted(self.manifest.roles)}."
            )
        return self.files[name]

    @property
    def label(self) -> str:
        return f"{self.manifest.name} {self.manifest.version}"

    @cached_property
    def codec(self) -> Codec:
        return Codec.from_bytes(self.role("codec"))

    @cached_property
    def heads(self) -> Heads | None:
        """The semantic and the sensitive head; None in a bundle from before there were any."""
        return Heads.from_bytes(self.role("heads")) if "heads" in self.manifest.roles else None

    @cached_property
    def calibration(self) -> Calibration | None:
        """The decision's models; None in a bundle that has only the manifest's two thresholds. Raises BundleCorrupt."""
        if confidence.ROLE not in self.manifest.roles:
            return None
        try:
            return Calibration.from_bytes(self.role(confidence.ROLE), f"bundle {self.label}, decision file")
        except DecisionInvalid as error:
            raise BundleCorrupt(error.message) from error

    @cached_property
    def golden(self) -> Golden:
        return Golden.from_bytes(self.role("golden"))

    @cached_property
    def pairing(self) -> Pairing:
        return Pairing(self.manifest.space, self.manifest.files[self.manifest.roles["codec"]].sha256)

    def check_golden(self, embed: Embed, *, runtime: str, role: str = "student") -> float:
        """Run `embed` on the golden tensors and return the worst cosine to the golden embeddings.

        `embed` maps `(n, s, s, 3) uint8` to `(n, d) float32` by the file in `role`. Raises GoldenMismatch below the
        manifest's tolerance for that role, or when the numbers are not finite or not of unit length.
        """
        least = self.manifest.tolerance(role)
        got, expected = embed(self.golden.tensors), self.golden.embeddings
        if got.shape != expected.shape or not np.isfinite(got).all():
            raise GoldenMismatch(
                f"{runtime}: expected finite golden embeddings of shape {expected.shape}, got {got.shape}."
            )
        norms = np.linalg.norm(got, axis=1)
        cosines = (got * expected).sum(axis=1) / np.maximum(norms * np.linalg.norm(expected, axis=1), 1e-9)
        worst = float(cosines.min())
        if worst < least or float(np.abs(norms - 1).max()) > 0.01:
            raise GoldenMismatch(
                f"{runtime}: expected golden embeddings within cosine {least} and of unit "
                f"length, got cosine {worst:.4f} and lengths {norms.min():.3f} to {norms.max():.3f}."
            )
        return worst


def damaged_files(directory: Path) -> dict[str, str]:
    """Return what is wrong with the files of the bundle in `directory`, by name; empty when all hash right."""
    manifest, _ = _read_manifest(directory)
    problems = {
        name: problem for name, entry in manifest.files.items() if (problem := _problem(directory, name, entry))
    }
    for path in sorted(directory.iterdir()):
        if path.name != MANIFEST and path.name not in manifest.files:
            problems[path.name] = "is not named in the manifest"
    return problems


def open_bundle(directory: str | Path) -> Bundle:
    """Read and verify the bundle in `directory`; raises BundleNotFound, BundleCorrupt, BundleUnsupported."""
    root = Path(directory)
    manifest, digest = _read_manifest(root)
    extra = {path.name for path in root.iterdir()} - set(manifest.files) - {MANIFEST}
    if extra:
        raise BundleCorrupt(f"bundle {root}: expected only the manifest's files, got also {sorted(extra)}.")
    files: dict[str, bytes] = {}
    for name, entry in manifest.files.items():
        files[name] = read_capped(root / name, entry.size_bytes)
        if FileEntry.of(files[name]) != entry:
            raise BundleCorrupt(
                f"bundle {root}: expected {name} of {entry.size_bytes} bytes with SHA-256 {entry.sha256[:12]}..., "
                f"got {len(files[name])} bytes with {FileEntry.of(files[name]).sha256[:12]}..."
            )
    return Bundle(manifest, files, digest)


def write_bundle(directory: str | Path, manifest: Manifest, files: Mapping[str, bytes]) -> Bundle:
    """Write `files` and `manifest` (its `files` must match) into the new folder `directory` and open the result.

    The folder appears whole or not at all: it is written aside, synced and renamed. Raises InputError when
    `directory` exists already or a file does not match its entry.
    """
    root = Path(directory)
    if root.exists():
        raise InputError(f"bundle {root}: expected a folder that does not exist yet.", hint="Choose another name.")
    if {name: FileEntry.of(data) for name, data in files.items()} != dict(manifest.files):
        raise InputError("bundle: expected the manifest's file entries to match the files given.")
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root.parent, prefix=".bundle-") as temporary:
        aside = Path(temporary) / "bundle"
        aside.mkdir()
        for name, data in {**files, MANIFEST: manifest.to_bytes()}.items():
            with open(aside / name, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        os.rename(aside, root)
    return open_bundle(root)


def _read_manifest(root: Path) -> tuple[Manifest, str]:
    path = root / MANIFEST
    if not path.is_file():
        raise BundleNotFound(f"expected a bundle at {root}, got no {MANIFEST} there.")
    data = read_capped(path, 1024 * 1024)
    return Manifest.from_bytes(data), hashlib.sha256(data).hexdigest()


def _problem(directory: Path, name: str, entry: FileEntry) -> str | None:
    try:
        data = read_capped(directory / name, entry.size_bytes)
    except BundleCorrupt as error:
        return error.message
    got = FileEntry.of(data)
    if got.size_bytes != entry.size_bytes:
        return f"expected {entry.size_bytes} bytes, got {got.size_bytes}"
    return None if got == entry else f"expected SHA-256 {entry.sha256}, got {got.sha256}"


def read_capped(path: Path, size_bytes: int, what: str = "bundle file") -> bytes:
    """Read at most `size_bytes` + 1 bytes: a file that grew is caught without being read whole. Raises BundleCorrupt."""
    try:
        with open(path, "rb") as file:
            return file.read(size_bytes + 1)
    except OSError as error:
        raise BundleCorrupt(f"{what} {path}: expected a readable file, got '{error.strerror}'.") from error
