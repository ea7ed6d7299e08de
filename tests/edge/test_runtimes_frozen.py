"""The frozen tflite-runtime 2.14.0, in an environment of its own: what it computes wrongly is caught and refused."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.small_bundle import make_small_bundle, small_file

ROOT = Path(__file__).resolve().parents[2]
# It was built against numpy 1; the others are what importing the SDK needs. ONNX Runtime is not among them.
PACKAGES = ("tflite-runtime==2.14.0", "numpy<2", "httpx>=0.28", "msgpack>=1.1", "pillow>=11")
MEASURE = """
import json, sys
import numpy as np
from sightline_edge.runtimes import load_runtime
from sightline_edge.runtimes.tflite import TfliteRuntime
from sightline_shared.bundle import open_bundle
from sightline_shared.errors import SightlineError
bundle = open_bundle(sys.argv[1])
runtime = TfliteRuntime(bundle.role("student.tflite"))
got, wanted = runtime.embed(bundle.golden.tensors), bundle.golden.embeddings
try:
    load_runtime("tflite", bundle)
    verdict = "accepted"
except SightlineError as error:
    verdict = str(error)
print(json.dumps({
    "runtime": runtime.name, "verdict": verdict,
    "cosine": float((got * wanted).sum(axis=1).mean()),
    "length_error": float(np.abs(np.linalg.norm(got, axis=1) - 1).max()),
}))
"""


@pytest.fixture(scope="session")
def frozen_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with tflite-runtime 2.14.0, made from the package registry."""
    if sys.version_info[:2] != (3, 11) or sys.platform != "linux":
        pytest.skip("tflite-runtime 2.14.0 has wheels for Linux and Python up to 3.11")
    folder = tmp_path_factory.mktemp("frozen")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=120)
    python = folder / "bin" / "python"
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PACKAGES]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        message = f"no environment with tflite-runtime: {getattr(error, 'stderr', error)}"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return python


def measured(python: Path, folder: Path) -> dict[str, object]:
    """Open the bundle and run its TFLite student in that environment, by the SDK's own code."""
    paths = os.pathsep.join(str(ROOT / part) for part in ("shared", "edge"))
    done = subprocess.run(
        [str(python), "-c", MEASURE, str(folder)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    assert found["runtime"] == "tflite-runtime 2.14.0"
    return found


def test_a_dynamic_int8_file_is_silently_wrong_there_and_is_refused(frozen_python: Path, tmp_path: Path) -> None:
    make_small_bundle(tmp_path / "bundle", small_file("dynamic"))
    found = measured(frozen_python, tmp_path / "bundle")
    # Perfect lengths, directions of chance: nothing but the golden vectors can tell.
    assert float(found["length_error"]) < 1e-4 and float(found["cosine"]) < 0.5
    assert "E_GOLDEN_MISMATCH" in str(found["verdict"]) and "Use another runtime version" in str(found["verdict"])


@pytest.mark.parametrize("kind", ["fp32", "static", "weights"])
def test_the_other_kinds_pass_there(frozen_python: Path, tmp_path: Path, kind: str) -> None:
    make_small_bundle(tmp_path / "bundle", small_file(kind))
    found = measured(frozen_python, tmp_path / "bundle")
    assert found["verdict"] == "accepted" and float(found["cosine"]) > (0.9999 if kind == "fp32" else 0.99)


def test_the_very_dynamic_file_is_right_under_the_living_runtime(tmp_path: Path) -> None:
    from sightline_edge import Device

    bundle = make_small_bundle(tmp_path / "bundle", small_file("dynamic"))
    runtime = Device.load(bundle, runtime="tflite").runtime
    assert runtime.name.startswith("ai-edge-litert")
