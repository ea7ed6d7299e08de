"""The environment variables that Sightline reads, all of them, in one place."""

from __future__ import annotations

import os

VARIABLES: dict[str, str] = {
    "SIGHTLINE_URL": "the service's URL for 'sightline query' and 'sightline doctor'",
    "SIGHTLINE_API_KEY": "the API key for 'sightline query' and 'sightline doctor'",
    "SIGHTLINE_DATA": "the service's data folder (default ./sightline-data)",
    "SIGHTLINE_DATABASE_URL": "a postgresql:// URL for the catalogue, in place of settings.toml's and of SQLite",
    "SIGHTLINE_BUNDLE": "a bundle folder in place of the one that ships with the SDK",
    "SIGHTLINE_PACKS": "the folder with the real photographs, for tests and benchmarks",
    "SIGHTLINE_CRASH_AT": "for tests: the number of the write point at which the process ends itself with SIGKILL",
    "SIGHTLINE_DEBUG": "set to 1 to see the traceback of an internal error",
}


def read(name: str) -> str | None:
    """Return the value of a variable listed in VARIABLES, None when it is unset or empty."""
    if name not in VARIABLES:
        raise KeyError(f"{name} is not listed in VARIABLES")
    return os.environ.get(name) or None


def for_child(**more: str) -> dict[str, str]:
    """Return this process's environment, and `more`, for a process that it starts."""
    return {**os.environ, **more}
