"""This process's peak memory. Imports nothing of ours: what asks for it must not grow by asking."""

from __future__ import annotations

import resource
from pathlib import Path


def peak_mib() -> float:
    """Return this process's peak resident memory in MiB.

    From /proc where there is one: getrusage's figure survives exec and would tell the parent's memory.
    """
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # macOS counts bytes
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024
