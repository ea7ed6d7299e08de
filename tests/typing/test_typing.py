"""The SDK's types hold for an app that is checked strictly from outside."""

import subprocess
import sys
from pathlib import Path


def test_an_app_passes_mypy_strict(tmp_path: Path) -> None:
    app = tmp_path / "app.py"
    app.write_text((Path(__file__).parent / "app.py").read_text())
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", app.name], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


def test_a_wrong_use_does_not_pass(tmp_path: Path) -> None:
    app = tmp_path / "app.py"
    app.write_text("from sightline_edge import Client\nClient(5).search(3.5)\n")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", app.name], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 1 and done.stdout.count("[arg-type]") == 2, done.stdout
