"""What the service's commands share: the data folder, the bundle, and an opened engine."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sightline_cloud.engine import Engine
from sightline_cloud.settings_file import read_settings
from sightline_shared import environment
from sightline_shared.errors import StoreUnavailable


def add_data_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --data and --bundle."""
    parser.add_argument("--data", help="the data folder (default SIGHTLINE_DATA, else ./sightline-data)")
    parser.add_argument(
        "--bundle",
        action="append",
        default=[],
        help="a bundle folder (default settings.toml's, SIGHTLINE_BUNDLE's, else the SDK's own); again for one more generation",
    )


def data_dir(args: argparse.Namespace) -> Path:
    return Path(args.data or environment.read("SIGHTLINE_DATA") or "sightline-data")


def bundle_dirs(args: argparse.Namespace) -> tuple[Path, ...]:
    return tuple(map(Path, args.bundle))


@contextmanager
def opened(args: argparse.Namespace, *, create: bool = True, owner: str = "") -> Iterator[Engine]:
    """Open the data folder that the arguments name, and close it at the end.

    Without `create` a folder without a catalogue is refused: a mistyped path should not look like an empty catalogue.
    Whoever uses the indexes names itself as the folder's `owner`, and is refused while a service runs on it.
    """
    settings = read_settings(data_dir(args), bundle_dirs=bundle_dirs(args) or None)
    if not create and not settings.database_url and not settings.database.exists():
        raise StoreUnavailable(
            f"{settings.data_dir}: expected a catalogue, got none.",
            hint="Check --data and SIGHTLINE_DATA; 'sightline serve' and 'sightline index add' make a catalogue.",
        )
    engine = Engine(settings, owner=owner)
    try:
        yield engine
    finally:
        engine.close()
