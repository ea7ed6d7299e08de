"""Erases two items in a child process that is killed at the n-th write point, for n = 1, 2, ... until it ends by itself.

    python erasing.py FOLDER BUNDLE

Each child works on a copy of FOLDER's data folder, FOLDER/<n>. One JSON line a child: the point at which it died, none at last.
"""

import importlib
import json
import os
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from sightline_cloud import crash
from sightline_cloud.engine import Engine
from sightline_cloud.operate.erase import erase
from sightline_cloud.settings_file import read_settings
from sightline_shared.bundle import open_bundle

VICTIMS = ("crowd/1050", "crowd/1060")


def die_at(number: int, data: Path, bundle_dir: Path) -> str | None:
    """Run the erasure in a child that ends at point `number`; returns the point's name, None when it was not reached."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.dup2(write, 2)
        engine = Engine(read_settings(data), open_bundle(bundle_dir), owner="the child")
        os.environ["SIGHTLINE_CRASH_AT"] = str(number)
        importlib.reload(crash)
        erase(engine, "default", VICTIMS)
        os._exit(0)
    os.close(write)
    _, status = os.waitpid(child, 0)
    with os.fdopen(read) as pipe:
        said = pipe.read()
    return said.rpartition(": ")[2].strip() if os.WIFSIGNALED(status) else None


def main(folder: Path, bundle_dir: Path) -> None:
    number = 0
    name: str | None = ""
    while name is not None:
        number += 1
        data = folder / str(number)
        shutil.copytree(folder / "data", data)
        name = die_at(number, data, bundle_dir)
        print(json.dumps({"data": str(data), "point": name}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
