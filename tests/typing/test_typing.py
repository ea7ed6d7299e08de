"""The SDK's types hold for an app that is checked strictly from outside, by mypy and by pyright."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

# Pyright takes the python it finds on PATH for the app's, unless it is told.
CHECKERS = {
    "mypy": ["-m", "mypy", "--strict"],
    "pyright": ["-m", "basedpyright", "--pythonpath", sys.executable],
}


def checked(checker: str, folder: Path, source: str) -> subprocess.CompletedProcess[str]:
    (folder / "app.py").write_text(source)
    (folder / "pyrightconfig.json").write_text(json.dumps({"typeCheckingMode": "strict"}))
    command = [sys.executable, *CHECKERS[checker], "app.py"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


@pytest.mark.parametrize("checker", CHECKERS)
def test_an_app_passes_strictly(checker: str, tmp_path: Path) -> None:
    done = checked(checker, tmp_path, (Path(__file__).parent / "app.py").read_text())
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(("checker", "kind"), [("mypy", "[arg-type]"), ("pyright", "reportArgumentType")])
def test_a_wrong_use_does_not_pass(checker: str, kind: str, tmp_path: Path) -> None:
    done = checked(checker, tmp_path, "from sightline_edge import Client\nClient(5).search(3.5)\n")
    assert done.returncode == 1 and done.stdout.count(kind) == 2, done.stdout
