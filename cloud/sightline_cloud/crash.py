"""Ends the process at a chosen write point: how tests prove that nothing acknowledged is lost.

`SIGHTLINE_CRASH_AT=n` kills the process with SIGKILL at the n-th point that it passes, whichever that is. A test counts
n up from 1 until the process ends by itself: then every point has been a crash once.
"""

from __future__ import annotations

import itertools
import os
import signal

from sightline_shared import environment
from sightline_shared.errors import ConfigInvalid


def _from_environment() -> int:
    given = environment.read("SIGHTLINE_CRASH_AT") or "0"
    if not given.isdecimal():
        raise ConfigInvalid(f"SIGHTLINE_CRASH_AT: expected the number of a crash point, got {given!r}.")
    return int(given)


_crash_at = _from_environment()
_passed = itertools.count(1)  # its next() is one step for all threads


def point(name: str) -> None:
    """Die here if this is the chosen point; `name` goes to stderr. Costs one comparison in ordinary operation."""
    if _crash_at and next(_passed) == _crash_at:
        os.write(2, f"crash point {_crash_at}: {name}\n".encode())
        os.kill(os.getpid(), signal.SIGKILL)
