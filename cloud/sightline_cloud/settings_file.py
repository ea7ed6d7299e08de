"""Reads `settings.toml` in a data folder: what serve and every command on that folder must agree on."""

from __future__ import annotations

import dataclasses
import tomllib
from pathlib import Path
from typing import Any

from sightline_cloud.settings import Settings
from sightline_shared import environment
from sightline_shared.errors import ConfigInvalid

NAME = "settings.toml"
MAX_BYTES = 64 * 1024


def read_settings(data_dir: Path, **given: Any) -> Settings:
    """Return the settings of a data folder: `given` where it is not None, else the file's, else the defaults.

    SIGHTLINE_DATABASE_URL goes before the file's `database_url`.

    Raises ConfigInvalid, with the file's name, for keys that there are not and values out of range.
    """
    path = data_dir / NAME
    fields = _parsed(path) if path.is_file() else {}
    url = environment.read("SIGHTLINE_DATABASE_URL")
    chosen = {name: value for name, value in {"database_url": url, **given}.items() if value is not None}
    return Settings(data_dir=data_dir, **{**fields, **chosen})


def _parsed(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ConfigInvalid(f"{path}: expected at most {MAX_BYTES} bytes, got {path.stat().st_size}.")
        fields = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigInvalid(f"{path}: expected a TOML file, got '{error}'.") from error
    kinds = {field.name: str(field.type) for field in dataclasses.fields(Settings) if field.name != "data_dir"}
    unknown = sorted(set(fields) - set(kinds))
    if unknown:
        raise ConfigInvalid(f"{path}: expected some of {', '.join(kinds)}, got {', '.join(unknown)}.")
    return {name: _value(path, name, kinds[name], value) for name, value in fields.items()}


def _value(path: Path, name: str, kind: str, value: Any) -> Any:
    texts = isinstance(value, list) and all(isinstance(each, str) for each in value)
    if kind == "tuple[str, ...]" and texts:
        return tuple(value)
    if kind == "tuple[Path, ...]" and texts:
        return tuple(path.parent / each for each in value)
    if kind == "Path | None" and isinstance(value, str):
        return path.parent / value
    plain = {"int": (int,), "int | None": (int,), "float": (int, float), "str": (str,)}
    if type(value) in plain.get(kind, ()):
        return value
    raise ConfigInvalid(f"{path}: {name}: expected {kind}, got {value!r:.80}.")
