"""From a TOML file to a recipe: unknown keys and wrong types are refused with the place and the remedy."""

from __future__ import annotations

import dataclasses
import tomllib
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path

from sightline_export.recipe import Recipe
from sightline_export.recipe_rules import check
from sightline_shared.errors import RecipeInvalid


def load_recipe(path: Path, defined: Mapping[str, str] | None = None, settings: Sequence[str] = ()) -> Recipe:
    """Read and check the recipe at `path`, with variables for its paths; raises RecipeInvalid.

    `settings` are lines of TOML that overrule the file, such as "training.images = 9000".
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeInvalid(f"{path}: expected a readable TOML file, got '{error.strerror}'.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeInvalid(f"{path}: expected TOML, got an error: {error}.") from error
    for line in settings:
        overrule(table, line)
    recipe = parse_recipe(table, str(path))
    recipe = dataclasses.replace(recipe, base=path.resolve().parent, defined=dict(defined or {}))
    check(recipe, str(path))
    return recipe


def overrule(table: dict[str, object], line: str) -> None:
    """Put one `key.key = value` of TOML into a recipe's table; raises RecipeInvalid when it is no such line.

    In an array of tables the key is the name: `source.shop.holdout_every = 4`.
    """
    try:
        given: dict[str, object] = tomllib.loads(line)
    except tomllib.TOMLDecodeError as error:
        raise RecipeInvalid(
            f"setting: expected KEY=VALUE in TOML, got '{line}': {error}.",
            hint="Text wants quotes: 'student.backbone=\"efficientnet_lite2\"'.",
        ) from error
    here: object = table
    while len(given) == 1 and isinstance(here, dict):
        ((key, value),) = given.items()
        there = here.setdefault(key, {})
        if not isinstance(value, dict):
            here[key] = value
            return
        here, given = there, value
        if isinstance(here, list):  # an array of tables: the next key is a name
            name = next(iter(given))
            here = {name: next((item for item in here if isinstance(item, dict) and item.get("name") == name), None)}
    raise RecipeInvalid(f"setting: expected one key of the recipe and its value, got '{line}'.")


def parse_recipe(table: dict[str, object], where: str) -> Recipe:
    """Turn a TOML table into a Recipe; raises RecipeInvalid on unknown keys and wrong types."""
    recipe = _build(Recipe, table, where)
    assert isinstance(recipe, Recipe)
    return recipe


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
