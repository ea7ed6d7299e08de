"""Says who works on a data folder's index files: one service, or one command that changes them."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import TextIO

from sightline_shared.errors import StoreUnavailable

NAME = "index.lock"


def hold(folder: Path, who: str) -> TextIO:
    """Return the open file that keeps `folder` for this process; to close it gives it back, as the process's end does.

    Raises StoreUnavailable, naming who has it, when another one does.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / NAME).open("a+")
    except OSError as error:
        raise StoreUnavailable(f"{folder}: expected a writable data folder, got '{error.strerror}'.") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.seek(0)
        owner = file.read(200).strip() or "another process"
        file.close()
        raise StoreUnavailable(
            f"{folder}: expected nobody at work on its index files, got {owner}.",
            hint="Stop it first, or ask the service itself: give --url and a key with the scope 'admin'.",
        ) from error
    file.truncate(0)
    file.write(f"{who}, process {os.getpid()}")
    file.flush()
    return file
