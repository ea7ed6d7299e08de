"""What every stage is handed: the recipe, the run's folder, and a voice."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

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

    @property
    def weights(self) -> Path | None:
        return self.recipe.path(self.recipe.weights) if self.recipe.weights else None


def make_room(folder: Path) -> None:
    """Create the run's folder and clear an earlier bundle; anything else in the bundle's place is refused."""
    folder.mkdir(parents=True, exist_ok=True)
    old = folder / "bundle"
    if old.exists():
        if not (old / "manifest.json").is_file():
            raise InputError(f"{old}: expected a bundle or nothing, got something else.", hint="Choose another --out.")
        shutil.rmtree(old)
