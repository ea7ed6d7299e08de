"""A scenario file, read: its benchmarks are named, known, and say nothing of where results go."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sightline_shared.cli import COMMANDS
from sightline_shared.errors import ConfigInvalid, InputError

SHIPPED = Path(__file__).parent
MAX_BYTES = 64 * 2**10
# Results are written where `bench all` says; these measure nothing.
RESERVED = ("--out", "--raw", "--json", "--summary")
NO_MEASUREMENTS = ("all", "compare", "report", "tables")


@dataclass(frozen=True)
class Scenario:
    """What to run: the words after "sightline bench" by the name of each run's result."""

    name: str
    about: str
    runs: Mapping[str, tuple[str, ...]]


def shipped() -> list[str]:
    """Return the names of the scenarios that come with the package."""
    return sorted(file.stem for file in SHIPPED.glob("*.toml"))


def read_scenario(name: str) -> Scenario:
    """Return the shipped scenario of that name, or the one in that file; raises InputError and ConfigInvalid."""
    path = SHIPPED / f"{name}.toml" if name in shipped() else Path(name)
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise InputError(f"{path}: expected a scenario of at most {MAX_BYTES} bytes, got {size}.")
        found = tomllib.loads(path.read_text())
    except OSError as error:
        raise InputError(
            f"scenario {name}: expected {', '.join(shipped())} or a TOML file, but it cannot be read: {error.strerror}."
        ) from error
    except ValueError as error:
        raise ConfigInvalid(f"{path}: expected TOML: {error}.") from error
    if unknown := sorted(found.keys() - {"about", "runs"}):
        raise ConfigInvalid(f"{path}: expected the keys about and runs, got {', '.join(unknown)}.")
    runs = found.get("runs")
    if not isinstance(found.get("about"), str) or not isinstance(runs, dict) or not runs:
        raise ConfigInvalid(f"{path}: expected a text 'about' and a table 'runs' with one run or more.")
    return Scenario(path.stem, found["about"], {run: _words(path, run, words) for run, words in runs.items()})


def _words(path: Path, run: str, words: object) -> tuple[str, ...]:
    known = sorted(c.words[1] for c in COMMANDS if c.words[0] == "bench" and c.words[1] not in NO_MEASUREMENTS)
    if not run.replace("-", "").isalnum() or not isinstance(words, list) or not all(isinstance(w, str) for w in words):
        raise ConfigInvalid(f"{path}: runs.{run}: expected a name of letters, digits and hyphens, and a list of words.")
    if not words or words[0] not in known:
        raise ConfigInvalid(f"{path}: runs.{run}: expected one of {', '.join(known)} first, got {words[:1]}.")
    if taken := [word for word in words if word.partition("=")[0] in RESERVED]:
        raise ConfigInvalid(f"{path}: runs.{run}: {', '.join(taken)} is what 'bench all' sets itself.")
    return tuple(words)
