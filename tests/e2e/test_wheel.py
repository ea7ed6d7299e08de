"""The wheel in a clean environment: the SDK alone works, and what needs an extra says which."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CLEAN = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "LANG": "C.UTF-8"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    # The build backend is installed already: no isolation, so that nothing is fetched to build.
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, ROOT]
    subprocess.run(command, check=True, capture_output=True)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def clean(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of executables of a new environment that holds the wheel and what it requires, nothing else."""
    home = tmp_path_factory.mktemp("clean")
    subprocess.run([sys.executable, "-m", "venv", home], check=True)
    pip = [home / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    subprocess.run([*pip, "--constraint", ROOT / "constraints.txt", wheel], check=True, capture_output=True)
    return home / "bin"


def run(clean: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [clean / "sightline", *words], env={**CLEAN, **environment}, capture_output=True, text=True, cwd=clean.parent
    )


def test_the_wheel_holds_the_five_packages_the_bundle_and_the_licences(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for package in ("shared", "edge", "cloud", "export", "bench"):
        assert f"sightline_{package}/__init__.py" in names
    assert "sightline_edge/default_bundle/manifest.json" in names
    assert "sightline_edge/py.typed" in names
    assert {name.rsplit("/", 1)[1] for name in names if "/licenses/" in name} == {"LICENSE", "NOTICE"}
    assert not [name for name in names if name.startswith(("tests", "edge", "runs")) or "float16-of" in name]


def test_the_sdk_alone_verifies_its_bundle(clean: Path) -> None:
    done = run(clean, "bundle", "verify")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all bit-identical" in done.stdout


def test_the_sdk_alone_passes_its_doctor(clean: Path) -> None:
    done = run(clean, "doctor")
    assert done.returncode == 0 and "[cloud] not installed" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("words", "extra"),
    [(("serve",), "cloud"), (("index", "add", "x"), "cloud"), (("demo",), "bench"), (("export", "run", "x"), "export")],
)
def test_a_missing_extra_is_named_with_the_line_that_installs_it(
    clean: Path, words: tuple[str, ...], extra: str
) -> None:
    done = run(clean, *words)
    assert done.returncode == 2
    assert "E_EXTRA_MISSING" in done.stderr and f"pip install 'sightline[{extra}]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_sdk_alone_asks_and_says_that_no_service_is_there(clean: Path, tmp_path: Path) -> None:
    photo = tmp_path / "noise.png"
    code = (
        f"import numpy as n; from PIL import Image; Image.fromarray(n.zeros((64, 64, 3), 'uint8')).save({str(photo)!r})"
    )
    subprocess.run([clean / "python", "-c", code], check=True)
    done = run(clean, "query", str(photo), "--url", "http://127.0.0.1:9")
    # A black frame never leaves the device.
    assert done.returncode == 0 and "too dark" in done.stdout, done.stdout + done.stderr
