"""One tenant's snapshots on disk: written aside, verified before they are read, swapped in by one rename.

    <folder>/CURRENT         the name of the snapshot that answers
    <folder>/000007/         a snapshot: its files and manifest.json, written once and never changed
    <folder>/building/       one that is being written; a crash leaves it, the next start removes it
    <folder>/removed/        one that is being removed, likewise

`manifest.json` is a JSON object: format, name (of what the index is of: generation and shard), catalogue_id, tenant, seq
(the change log's position at which it was taken), count, dim, coder, trained_on (rows when the centroids were trained), filter_keys,
created, files (by name: bytes and sha256), and digest, the sha256 of the object without it. A file that does not hash to
what the manifest says, or a manifest that does not hash to its digest, is never read further. Neither is a link: what it
leads to could be changed, and would not be erased.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sightline_cloud import crash
from sightline_cloud.logs import log
from sightline_shared.errors import IndexFailed, SnapshotCorrupt

FORMAT = 1
MANIFEST, CURRENT, HITS, BUILDING, REMOVED = "manifest.json", "CURRENT", "hits.f32", "building", "removed"
MAX_MANIFEST_BYTES = 64 * 1024
NAME = re.compile(r"[0-9]{6}")
FILE = re.compile(r"[a-z0-9]+\.[a-z0-9]+")


@dataclass(frozen=True)
class Manifest:
    """What a snapshot says of itself."""

    name: str
    catalogue_id: str
    tenant: str
    seq: int
    count: int
    dim: int
    coder: str
    trained_on: int
    filter_keys: list[str]
    created: str
    files: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    format: int = FORMAT


class Snapshots:
    """The snapshots in one folder. One process at a time changes it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def names(self) -> list[str]:
        """Return the names of all snapshots, oldest first."""
        if not self.folder.is_dir():
            return []
        return sorted(path.name for path in self.folder.iterdir() if NAME.fullmatch(path.name) and _is_folder(path))

    def current(self) -> str | None:
        """Return the name of the snapshot that answers; None when there is none, or when CURRENT is damaged."""
        try:
            with (self.folder / CURRENT).open("rb") as file:
                name = file.read(16).decode("ascii", "replace").strip()
        except OSError:
            return None
        return name if NAME.fullmatch(name) and _is_folder(self.folder / name) else None

    def begin(self) -> Path:
        """Return an empty folder to write the next snapshot's files into."""
        self.clean()
        building = self.folder / BUILDING
        building.mkdir(parents=True)
        return building

    def publish(self, building: Path, manifest: Manifest) -> str:
        """Make the files durable, then what they are, then have them answer; returns the new snapshot's name.

        A crash before the last rename leaves the old snapshot, one after it the new one.
        """
        files = {}
        for path in sorted(building.iterdir()):
            crash.point(f"snapshot: {path.name} written")
            sync(path)
            files[path.name] = {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
        crash.point("snapshot: files durable")
        write_manifest(building, dataclasses.replace(manifest, files=files))
        sync(building)
        crash.point("snapshot: manifest durable")
        name = f"{max(map(int, self.names()), default=0) + 1:06}"
        building.rename(self.folder / name)
        sync(self.folder)
        crash.point("snapshot: named")
        self.point_to(name)
        return name

    def point_to(self, name: str) -> None:
        """Have the snapshot `name` answer after a restart, durably."""
        aside = self.folder / (CURRENT + ".new")
        aside.write_text(name + "\n")
        crash.point("snapshot: pointer written")
        sync(aside)
        aside.replace(self.folder / CURRENT)
        crash.point("snapshot: pointer moved")
        sync(self.folder)
        crash.point("snapshot: pointer durable")

    def manifest(self, name: str) -> Manifest:
        """Return what a snapshot says of itself; its files are not looked at. Raises SnapshotCorrupt."""
        return read_manifest(self.folder / name)

    def verified(self, name: str) -> Manifest:
        """Return the manifest of a snapshot whose every file hashes to what it says; raises SnapshotCorrupt."""
        folder = self.folder / name
        manifest = read_manifest(folder)
        for file, said in manifest.files.items():
            path = folder / file
            try:
                if path.is_symlink() or not path.is_file() or path.stat().st_size != said["bytes"]:
                    raise SnapshotCorrupt(f"{path}: expected a file of {said['bytes']} bytes.")
                if sha256_of(path) != said["sha256"]:
                    raise SnapshotCorrupt(f"{path}: expected sha256 {said['sha256'][:12]}..., got another.")
            except FileNotFoundError as error:  # it was there a moment ago: the snapshot is being removed
                raise SnapshotCorrupt(f"{path}: expected a file of {said['bytes']} bytes, got none.") from error
        return manifest

    def prune(self, keep: int) -> None:
        """Remove all but the newest `keep` snapshots and the one that answers."""
        current = self.current()
        names = [name for name in self.names() if name != current]
        for name in names[: max(0, len(names) - keep)]:
            self.remove(name)

    def remove(self, name: str) -> None:
        """Remove a snapshot: its name goes first, so that a crash leaves none of which files are missing."""
        _remove(self.folder / REMOVED)
        (self.folder / name).rename(self.folder / REMOVED)
        crash.point("snapshot: old one's name removed")
        _remove(self.folder / REMOVED)
        sync(self.folder)
        crash.point("snapshot: old one removed")
        log("snapshot_removed", folder=str(self.folder), snapshot=name)

    def discard(self) -> None:
        """Remove all snapshots and their folder."""
        for name in self.names():
            self.remove(name)
        _remove(self.folder)
        sync(self.folder.parent)

    def clean(self) -> None:
        """Remove what a crash left half done, and what is in the way of a snapshot's names but is none."""
        if not _is_folder(self.folder):
            _remove(self.folder)
            return
        for path in self.folder.iterdir():
            half_done = path.name in (BUILDING, REMOVED) or path.suffix == ".new"
            no_file = path.name in (CURRENT, HITS) and (path.is_symlink() or not path.is_file())
            no_snapshot = NAME.fullmatch(path.name) and not _is_folder(path)
            if half_done or no_file or no_snapshot:
                _remove(path)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write and sync `manifest.json`."""
    fields = dataclasses.asdict(manifest)
    path = folder / MANIFEST
    path.write_text(json.dumps({**fields, "digest": _digest(fields)}, indent=1))
    sync(path)


def read_manifest(folder: Path) -> Manifest:
    """Read a manifest that hashes to its own digest; raises SnapshotCorrupt."""
    path = folder / MANIFEST
    try:
        if path.is_symlink() or not path.is_file():
            raise ValueError("no file of its own")
        with path.open("rb") as file:
            data = file.read(MAX_MANIFEST_BYTES + 1)
        if len(data) > MAX_MANIFEST_BYTES:
            raise ValueError(f"more than {MAX_MANIFEST_BYTES} bytes")
        fields = json.loads(data)
        if fields.pop("digest") != _digest(fields):
            raise ValueError("a text that does not hash to its digest")
        if fields["format"] != FORMAT:
            raise ValueError(f"format {fields['format']!r}")
        manifest = Manifest(**fields)
        if not _well_typed(manifest):
            raise ValueError("fields of other types")
        return manifest
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise SnapshotCorrupt(
            f"{path}: expected a snapshot's manifest of format {FORMAT}, got {error!r:.200}."
        ) from error


def _well_typed(manifest: Manifest) -> bool:
    texts = (manifest.name, manifest.catalogue_id, manifest.tenant, manifest.coder, manifest.created)
    numbers = (manifest.seq + 1, manifest.count, manifest.dim, manifest.trained_on)
    return (
        all(isinstance(text, str) for text in [*texts, *manifest.filter_keys])
        and all(isinstance(number, int) and number > 0 for number in numbers)
        and all(
            FILE.fullmatch(file) and isinstance(said["bytes"], int) and isinstance(said["sha256"], str)
            for file, said in manifest.files.items()
        )
    )


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Make a file's bytes, or a folder's names, durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        raise IndexFailed(f"{path}: expected a disk that takes the snapshot, got '{error.strerror}'.") from error
    finally:
        os.close(handle)


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _remove(path: Path) -> None:
    """Remove a folder with all that is in it, a file, or a link, but not what that leads to; no matter if it is not there."""
    if _is_folder(path):
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _digest(fields: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()
