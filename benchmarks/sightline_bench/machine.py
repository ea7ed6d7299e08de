"""What a benchmark ran on: recorded beside every result."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sightline_edge.commands.doctor import installed
from sightline_shared import __version__

PACKAGES = ("numpy", "onnxruntime", "pillow", "httpx", "msgpack", "faiss-cpu", "fastapi", "uvicorn", "sqlalchemy")


def describe() -> dict[str, Any]:
    """Return the machine, its load, package versions and the git revision as JSON-able data."""
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "load_1m": load(),
        "python": platform.python_version(),
        "sightline": __version__,
        "packages": {name: installed(name) for name in PACKAGES},
        "git": _revision(),
    }


def load() -> float:
    """Return how many processes ran or waited for a core, averaged over the last minute."""
    return round(os.getloadavg()[0], 2)


def _cpu() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor()
    fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    named = {key.strip(): value.strip() for key, value in fields.items()}
    wide = [flag for flag in ("avx2", "avx512f", "avx512_vnni", "avx_vnni") if flag in named.get("flags", "").split()]
    return f"{named.get('model name', 'unknown')} ({', '.join(wide)})"


def _revision() -> str:
    """Return the commit, and "-dirty" where what is measured is not it; the results that a run writes are not measured."""
    try:
        revision = _git("rev-parse", "--short", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no", "--", ":/", ":(exclude,top)benchmarks/results")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{revision}-dirty" if changed else revision


def _git(*words: str) -> str:
    done = subprocess.run(  # noqa: S603  fixed words
        ["git", *words],  # noqa: S607  the user's own git, on the user's PATH
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parent,
    )
    return done.stdout.strip()
