"""Where a run may write: options say it before anything is measured, for afterwards the run would be lost."""

from __future__ import annotations

import os
from pathlib import Path

from sightline_shared.errors import InputError

HINT = "Name a file in a folder that is there and can be written to."
# What a command writes that was given a PREFIX.
BESIDE = (".json", ".md", ".png")


def out_file(text: str) -> str:
    """Return the name of a file to be written; raises InputError where none can be."""
    path = Path(text)
    try:
        if path.is_dir():
            raise InputError(f"{text!r:.200}: expected a file to write, got a folder.", hint=HINT)
        path.stat()
    except FileNotFoundError:
        if not path.parent.is_dir():
            raise InputError(
                f"{text!r:.200}: expected a file to write, in a folder that is there.", hint=HINT
            ) from None
        path = path.parent
    except OSError as error:
        raise InputError(f"{text!r:.200}: expected a file to write, but: {error.strerror}.", hint=HINT) from error
    if not os.access(path, os.W_OK):
        raise InputError(f"{text!r:.200}: expected a file that can be written.", hint=HINT)
    return text


def out_prefix(text: str) -> str:
    """Return `text`, of which .json may be left out: several files will begin so; raises InputError where one cannot be written."""
    for suffix in BESIDE:
        out_file(text.removesuffix(".json") + suffix)
    return text


def out_folder(text: str) -> Path:
    """Return a folder to be written into, made if need be; raises InputError where it cannot be."""
    folder = Path(text)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{text!r:.200}: expected a folder to write into, but: {error.strerror}.") from error
    return folder
