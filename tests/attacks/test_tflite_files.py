"""TFLite files built to harm: garbage, cut short, bent. The loader refuses or the golden check does; nothing crashes."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.small_bundle import make_small_bundle, small_file

from sightline_edge.runtimes.tflite import TfliteRuntime
from sightline_shared.errors import RuntimeFailed

TRY = """
import sys
from sightline_edge import Device
from sightline_shared.errors import SightlineError
try:
    Device.load(sys.argv[1], runtime="tflite")
    print("accepted")
except SightlineError as error:
    print(error.code)
"""


def damaged(kind: str) -> bytes:
    data = bytearray(small_file("static"))
    if kind == "half":
        return bytes(data[: len(data) // 2])
    if kind == "head":
        return bytes(data[:64])
    if kind == "random tables":
        data[8:400] = np.random.default_rng(1).integers(0, 256, 392, dtype=np.uint8).tobytes()
        return bytes(data)
    if kind == "root beyond the end":
        data[0:4] = (2**31 - 1).to_bytes(4, "little")
        return bytes(data)
    return b"\x00\x00\x00\x00TFL3"


@pytest.mark.parametrize("kind", ["half", "head", "random tables", "root beyond the end", "identifier only"])
def test_a_bent_file_is_refused_and_does_not_take_the_process_with_it(tmp_path: Path, kind: str) -> None:
    make_small_bundle(tmp_path / "bundle", damaged(kind))
    done = subprocess.run(
        [sys.executable, "-c", TRY, str(tmp_path / "bundle")], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, f"{kind}: exit status {done.returncode}, {done.stderr[-500:]}"
    assert done.stdout.split()[-1] in ("E_RUNTIME_FAILED", "E_GOLDEN_MISMATCH")


@pytest.mark.parametrize("data", [b"", b"\x93garbage", small_file("onnx")], ids=["empty", "garbage", "onnx"])
def test_what_is_no_tflite_file_never_reaches_the_parser(data: bytes) -> None:
    with pytest.raises(RuntimeFailed, match="expected a TFLite file"):
        TfliteRuntime(data)
