"""What every stage is handed: the recipe, the run's folder, and a voice."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sightline_export.augment import augment
from sightline_export.convert_onnx import INPUT, open_session
from sightline_export.data import PhotoSet
from sightline_export.progress import Progress
from sightline_export.recipe import Recipe
from sightline_shared.errors import InputError


@dataclass(frozen=True)
class Run:
    """One run of the pipeline: the recipe, the folder it works in, and the voice it speaks with."""

    recipe: Recipe
    folder: Path
    progress: Progress
    features: Path
    device: str = "cpu"

    @property
    def weights(self) -> Path | None:
        return self.recipe.path(self.recipe.weights) if self.recipe.weights else None

    def embed(self, model: bytes, photos: PhotoSet) -> NDArray[np.float32]:
        """Return an ONNX model's embeddings `(n, d) float32` of all photographs; an interrupted run finds them again."""
        digest = hashlib.sha256(model)
        digest.update(photos.tensors.tobytes())
        file = self.folder / "embeddings" / f"{digest.hexdigest()[:16]}.npy"
        if file.is_file():
            return np.asarray(np.load(file, allow_pickle=False), dtype=np.float32)
        session = open_session(model)
        rows = [
            session.run(None, {INPUT: photos.tensors[row : row + 1]})[0]
            for row in self.progress.track(range(len(photos)), "embeddings")
        ]
        vectors = np.concatenate(rows).astype(np.float32, copy=False)
        file.parent.mkdir(parents=True, exist_ok=True)
        aside = file.with_suffix(".tmp.npy")
        np.save(aside, vectors)
        aside.replace(file)
        return vectors

    def views(
        self, label: str, model: bytes, photos: PhotoSet, rows: NDArray[np.int64], count: int
    ) -> NDArray[np.float32]:
        """Return an ONNX model's embeddings `(len(rows), count, d) float32` of augmented views of the photographs `rows`."""
        size, dim, strength = self.recipe.student.size, self.recipe.student.dimension, self.recipe.augment
        made_of = [model, repr((self.recipe.seed, count, size, strength)).encode()]
        made_of += [photos.digests[row].encode() for row in rows]

        def make() -> bytes:
            session, rng = open_session(model), np.random.default_rng(self.recipe.seed)
            found = np.empty((len(rows), count, dim), dtype=np.float32)
            for place, row in enumerate(self.progress.track(rows.tolist(), f"views for the {label}")):
                for turn in range(count):
                    view = augment(photos.images[row], size, rng, strength)
                    found[place, turn] = session.run(None, {INPUT: view[None]})[0][0]
            return found.tobytes()

        data = self.keep(f"embeddings/views-{label.replace(' ', '-')}.f32", made_of, make)
        return np.frombuffer(data, dtype=np.float32).reshape(len(rows), count, dim)

    def keep(self, name: str, made_of: Sequence[bytes], make: Callable[[], bytes]) -> bytes:
        """Return the file `name` of the run's folder; it is made again only when what it is made of has changed.

        A mark beside the file holds the digest of `made_of`; it is written after the file, so a kill leaves no false one.
        """
        digest = hashlib.sha256()
        for part in made_of:
            digest.update(len(part).to_bytes(8, "big") + part)
        file, mark = self.folder / name, self.folder / f"{name}.made-of"
        if file.is_file() and mark.is_file() and mark.read_text(encoding="utf-8") == digest.hexdigest():
            self.progress.say(f"{name}: as it was made before")
            return file.read_bytes()
        mark.unlink(missing_ok=True)
        data = make()
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        mark.write_text(digest.hexdigest(), encoding="utf-8")
        return data


def make_room(folder: Path) -> None:
    """Create the run's folder and clear an earlier bundle; anything else in the bundle's place is refused."""
    folder.mkdir(parents=True, exist_ok=True)
    old = folder / "bundle"
    if old.exists():
        if not (old / "manifest.json").is_file():
            raise InputError(f"{old}: expected a bundle or nothing, got something else.", hint="Choose another --out.")
        shutil.rmtree(old)
