"""The recipe: everything that decides a bundle, read from one TOML file.

Unknown keys and impossible values are refused with the place and the remedy. `${NAME}` in a path is replaced by what
`--define NAME=...` says, or by Sightline's environment variable of that name; relative paths start at the recipe's folder.
"""

from __future__ import annotations

import dataclasses
import re
import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sightline_shared import environment
from sightline_shared.errors import RecipeInvalid

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


@dataclass(frozen=True)
class Source:
    """One set of photographs: a manifest CSV, or a folder with one sub-folder per item.

    `kind` is "catalogue" (items to be found) or "outside" (things that are not in the catalogue: distilled
    without labels against forgetting, and used to measure the gate). The split lists name the manifest's
    `split` values for each role. A folder has no splits: `val_share` and `test_share` of its photographs are
    held out by hash. `holdout_classes` is the share of classes that the training never sees.
    """

    name: str
    manifest: str = ""
    folder: str = ""
    kind: str = "catalogue"
    domain: str = ""
    train: tuple[str, ...] = ("train",)
    val: tuple[str, ...] = ("val",)
    test: tuple[str, ...] = ("test",)
    studio: tuple[str, ...] = ()
    val_share: float = 0.1
    test_share: float = 0.0
    holdout_classes: float = 0.0
    labels: bool = True
    optional: bool = False


@dataclass(frozen=True)
class Teacher:
    """The frozen backbones whose features are joined, and the head that is trained on them."""

    backbones: tuple[str, ...] = ("efficientnet_lite0", "efficientnet_lite2", "mobilenet_edgetpu")
    epochs: int = 100
    margin: float = 0.2
    scale: float = 24.0


@dataclass(frozen=True)
class Student:
    """The network that ships."""

    backbone: str = "efficientnet_lite0"
    size: int = 192
    dimension: int = 256
    frozen_blocks: int = 5


@dataclass(frozen=True)
class Training:
    """How long and how fast the student learns; `images = 0` keeps the ridge-initialised head.

    `shares` are the student's shares tried when the trained weights are averaged with the initial ones (1.0 is
    no averaging); the held-out photographs choose.
    """

    images: int = 36000
    batch: int = 64
    learning_rate: float = 3e-4
    head_learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    outside_share: float = 0.25
    shares: tuple[float, ...] = (1.0, 0.85, 0.7)
    workers: int = 1
    checkpoint_steps: int = 50


@dataclass(frozen=True)
class Loss:
    """The weights of the four losses, the temperature over the gallery, the ArcFace margin and scale."""

    teacher: float = 2.0
    gallery: float = 0.5
    instance: float = 0.5
    semantic: float = 0.25
    temperature: float = 0.07
    margin: float = 0.2
    scale: float = 24.0


@dataclass(frozen=True)
class Codec:
    """The code on the wire: bytes per embedding, and augmented views per photograph to train it on."""

    subspaces: int = 64
    views: int = 4
    iterations: int = 25


@dataclass(frozen=True)
class Gate:
    """Prototypes of the gate, and the share of good photographs that it may turn away."""

    prototypes: int = 256
    false_reject: float = 0.05


@dataclass(frozen=True)
class Quality:
    """Share of good photographs that the sharpness and the brightness check must keep."""

    keep: float = 0.99


@dataclass(frozen=True)
class Bars:
    """What the int8 model must reach, or the export fails."""

    int8_cosine_mean: float = 0.98
    int8_cosine_min: float = 0.9
    int8_recall_loss: float = 0.02
    smallest_class: int = 2
    smallest_training_set: int = 32


@dataclass(frozen=True)
class Recipe:
    """One bundle's recipe; relative paths start at `base`, `defined` holds the variables given on the command line."""

    name: str
    source: tuple[Source, ...]
    version: str = "1"
    seed: int = 1
    weights: str = ""
    calibration_images: int = 200
    golden_source: str = ""
    notice: str = ""
    teacher: Teacher = field(default_factory=Teacher)
    student: Student = field(default_factory=Student)
    training: Training = field(default_factory=Training)
    loss: Loss = field(default_factory=Loss)
    codec: Codec = field(default_factory=Codec)
    gate: Gate = field(default_factory=Gate)
    quality: Quality = field(default_factory=Quality)
    bars: Bars = field(default_factory=Bars)
    base: Path = field(default=Path(), metadata={"hidden": True})
    defined: Mapping[str, str] = field(default_factory=dict, metadata={"hidden": True})

    def path(self, text: str) -> Path:
        """Return `text` as a path: variables replaced, relative to the recipe's folder; raises RecipeInvalid."""
        return self.base / expand(text, self.defined)


def load_recipe(path: Path, defined: Mapping[str, str] | None = None) -> Recipe:
    """Read and check the recipe at `path`, with variables for its paths; raises RecipeInvalid."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeInvalid(f"{path}: expected a readable TOML file, got '{error.strerror}'.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeInvalid(f"{path}: expected TOML, got an error: {error}.") from error
    recipe = parse_recipe(table, str(path))
    recipe = dataclasses.replace(recipe, base=path.resolve().parent, defined=dict(defined or {}))
    check(recipe, str(path))
    return recipe


def parse_recipe(table: dict[str, object], where: str) -> Recipe:
    """Turn a TOML table into a Recipe; raises RecipeInvalid on unknown keys and wrong types."""
    recipe = _build(Recipe, table, where)
    assert isinstance(recipe, Recipe)
    return recipe


def to_table(recipe: Recipe) -> dict[str, object]:
    """Return the recipe as plain data, for the report; this machine's paths are left out."""
    table = dataclasses.asdict(recipe)
    return {key: value for key, value in table.items() if key not in ("base", "defined")}


def expand(text: str, defined: Mapping[str, str]) -> str:
    """Replace every `${NAME}`; raises RecipeInvalid for a name that neither `defined` nor the environment has."""

    def value(match: re.Match[str]) -> str:
        name = match[1]
        found = defined.get(name) or (environment.read(name) if name in environment.VARIABLES else None)
        if not found:
            raise RecipeInvalid(
                f"'{text}': expected a value for {name}, got none.", hint=f"Add: --define {name}=/path/to/it"
            )
        return found

    return _VARIABLE.sub(value, text)


def check(recipe: Recipe, where: str) -> None:
    """Raise RecipeInvalid for values that parse and cannot work."""
    rules = [
        (bool(recipe.name), "name", "a name", recipe.name),
        (bool(recipe.source), "source", "at least one [[source]]", len(recipe.source)),
        (32 <= recipe.student.size <= 512, "student.size", "32 to 512 pixels", recipe.student.size),
        (recipe.student.dimension > 0, "student.dimension", "a positive number", recipe.student.dimension),
        (
            recipe.codec.subspaces > 0 and recipe.student.dimension % recipe.codec.subspaces == 0,
            "codec.subspaces",
            f"a divisor of the dimension {recipe.student.dimension}",
            recipe.codec.subspaces,
        ),
        (0 < recipe.gate.false_reject < 1, "gate.false_reject", "a share between 0 and 1", recipe.gate.false_reject),
        (0 < recipe.quality.keep < 1, "quality.keep", "a share between 0 and 1", recipe.quality.keep),
        (recipe.training.images >= 0, "training.images", "0 or more", recipe.training.images),
        (recipe.training.batch >= 2, "training.batch", "2 or more", recipe.training.batch),
        (0 <= recipe.training.outside_share < 1, "training.outside_share", "0 to 1", recipe.training.outside_share),
        (bool(recipe.training.shares), "training.shares", "at least one share", recipe.training.shares),
        (bool(recipe.teacher.backbones), "teacher.backbones", "at least one name", recipe.teacher.backbones),
        (0 <= recipe.student.frozen_blocks <= 16, "student.frozen_blocks", "0 to 16", recipe.student.frozen_blocks),
        (recipe.calibration_images > 0, "calibration_images", "a positive number", recipe.calibration_images),
    ]
    for source in recipe.source:
        at = f"source '{source.name}'"
        rules += [
            (bool(source.manifest) != bool(source.folder), at, "either 'manifest' or 'folder'", source),
            (source.kind in ("catalogue", "outside"), f"{at}.kind", "'catalogue' or 'outside'", source.kind),
            (0 <= source.val_share + source.test_share < 1, f"{at}.val_share", "shares below 1", source.val_share),
            (0 <= source.holdout_classes < 1, f"{at}.holdout_classes", "a share below 1", source.holdout_classes),
        ]
    for good, key, expected, got in rules:
        if not good:
            raise RecipeInvalid(f"{where}: {key}: expected {expected}, got {got!r}.")
    names = [source.name for source in recipe.source]
    if len(set(names)) != len(names):
        raise RecipeInvalid(f"{where}: source.name: expected different names, got {names}.")


def _build(kind: type, table: object, where: str) -> object:
    if not isinstance(table, dict):
        raise RecipeInvalid(f"{where}: expected a table, got {type(table).__name__}.")
    hints = typing.get_type_hints(kind)
    fields = {item.name: item for item in dataclasses.fields(kind) if not item.metadata.get("hidden")}
    unknown = sorted(set(table) - set(fields))
    if unknown:
        raise RecipeInvalid(f"{where}: expected the keys {sorted(fields)}, got the unknown key '{unknown[0]}'.")
    values = {key: _convert(hints[key], value, f"{where}: {key}") for key, value in table.items()}
    for name, item in fields.items():
        required = item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING
        if required and name not in values:
            raise RecipeInvalid(f"{where}: expected the key '{name}', got none.")
    return kind(**values)


def _convert(hint: object, value: object, where: str) -> object:
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return _build(hint, value, where)
    if isinstance(hint, types.GenericAlias):
        inner = typing.get_args(hint)[0]
        if not isinstance(value, list):
            raise RecipeInvalid(f"{where}: expected a list, got {type(value).__name__}.")
        return tuple(_convert(inner, item, f"{where}[{index}]") for index, item in enumerate(value))
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not hint:
        wanted = getattr(hint, "__name__", str(hint))
        raise RecipeInvalid(f"{where}: expected {wanted}, got {type(value).__name__} {value!r}.")
    return value
