"""TFLite: the integers of the ONNX student, the choice among kinds, the hand-over to the other interpreter."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from support.small_bundle import SIZE, make_small_bundle, small_file
from support.tflite.make import small_student
from support.tiny_bundle import embed, picture

from sightline_edge.runtimes.tflite import TfliteRuntime, find_interpreter
from sightline_export import mobile, tflite_worker
from sightline_export.artefacts import Artefact
from sightline_export.convert_onnx import to_onnx
from sightline_export.convert_tflite import check_interpreter, exported, to_tflite
from sightline_export.integers import read_integers, running_layers, with_integers
from sightline_export.parity import Trial, compare
from sightline_export.quantize import emulated_session, quantize
from sightline_export.recipe import Bars
from sightline_shared.errors import ExtraMissing, GoldenMismatch, RuntimeFailed
from sightline_shared.preprocess import to_tensor


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return np.stack([to_tensor(picture(20_000 + seed), SIZE) for seed in range(24)])


@pytest.fixture(scope="module")
def student(pixels: np.ndarray) -> torch.nn.Module:
    return small_student(pixels)


@pytest.fixture(scope="module")
def int8(student: torch.nn.Module, pixels: np.ndarray) -> bytes:
    return quantize(to_onnx(student, SIZE), pixels, rounding="nearest").SerializeToString()


@pytest.fixture(scope="session")
def litert_python() -> Path:
    """The interpreter that has litert-torch: 2 GB that no test installs; name it in TFLITE_PYTHON."""
    named = os.environ.get("TFLITE_PYTHON")
    if not named:
        pytest.skip("TFLITE_PYTHON names no interpreter with litert-torch")
    return Path(named)


def test_the_integers_times_their_scales_are_what_the_onnx_file_computes_with(student, int8, pixels) -> None:
    layers = read_integers(int8)
    assert [layer.values.shape for layer in layers] == [
        tuple(layer.weight.shape) for layer in running_layers(student, SIZE).values()
    ]
    for layer, module in zip(layers, running_layers(student, SIZE).values(), strict=True):
        assert layer.values.dtype == np.int8
        gap = np.abs(layer.weight - module.weight.detach().numpy()).reshape(len(layer.values), -1).max(axis=1)
        assert (gap <= layer.scales * 0.5001).all()  # rounded to nearest: half a step
        np.testing.assert_allclose(layer.bias, module.bias.detach().numpy(), atol=1e-3)
    twin = with_integers(student, layers, SIZE)
    with torch.inference_mode():
        got = twin(torch.from_numpy(pixels)).numpy()
    wanted = emulated_session(int8).run(None, {"pixels": pixels})[0]
    # What is left between them is the rounding of activations.
    assert (got * wanted).sum(axis=1).min() > 0.99
    assert not np.array_equal(twin.head.weight.detach(), student.head.weight.detach())


def test_a_float_model_has_no_integers(student) -> None:
    with pytest.raises(RuntimeFailed, match="expected quantized weights and bias"):
        read_integers(to_onnx(student, SIZE).SerializeToString())


def test_integers_of_another_student_are_refused(student, int8) -> None:
    with pytest.raises(RuntimeFailed, match="expected 5 layers of the student's shapes, got 4"):
        with_integers(student, read_integers(int8)[:-1], SIZE)


def test_no_class_is_needed_to_read_what_is_handed_over(student, pixels, tmp_path: Path) -> None:
    torch.export.save(exported(student, pixels), tmp_path / "student.pt2")
    with zipfile.ZipFile(tmp_path / "student.pt2") as archive:
        names = archive.namelist()
        archives = [name for name in names if archive.read(name)[:2] in (b"PK", b"\x80\x02", b"\x80\x04")]
        # torch would pickle an example input beside the program; ours is empty.
        (example,) = [name for name in names if name.endswith("sample_inputs/model.pt")]
        assert not archives and len(names) > 10 and archive.read(example) == b""


def test_an_interpreter_without_litert_torch_gets_the_lines_to_run(pixels, student) -> None:
    with pytest.raises(ExtraMissing, match=r"expected litert-torch under .*No module named 'litert_torch'") as caught:
        to_tflite(student, pixels, ("static",))
    assert (
        "pip install torch==2.13.0 litert-torch==0.10.0" in caught.value.hint and "tflite_python" in caught.value.hint
    )
    with pytest.raises(ExtraMissing, match="expected a Python at /nowhere/python"):
        check_interpreter("/nowhere/python")


def test_the_worker_imports_nothing_of_ours() -> None:
    source = Path(tflite_worker.__file__).read_text()
    assert "import sightline" not in source and "from sightline" not in source
    # Without any installed package it can still be read: heavy imports wait until they are needed.
    code = f"import runpy; runpy.run_path({tflite_worker.__file__!r}, run_name='worker')"
    assert subprocess.run([sys.executable, "-S", "-c", code], check=False).returncode == 0


@pytest.fixture(scope="module")
def trial() -> Trial:
    pixels = np.stack([to_tensor(picture(60_000 + seed), SIZE) for seed in range(60)])
    vectors = embed(small_file("onnx"), pixels)
    return Trial(pixels[:30], vectors[:30], vectors[30:], "drawn pictures")


def test_the_first_kind_that_passes_ships(trial: Trial) -> None:
    tried = tuple(mobile.compare_tflite({kind: small_file(kind) for kind in ("fp32", "static", "weights")}, trial))
    assert mobile.choose(tried, ("static", "weights"), Bars(artefact_overlap=0.5)) == "static"
    assert mobile.choose(tried, ("weights", "static"), Bars(artefact_overlap=0.5)) == "weights"
    with pytest.raises(GoldenMismatch, match=r"static: expected a mean cosine of 0\.9999.*weights: expected") as caught:
        mobile.choose(tried, ("static", "weights"), Bars(artefact_cosine_mean=0.9999))
    assert "[mobile] tflite" in caught.value.hint


def test_a_kind_that_misses_is_passed_over(trial: Trial) -> None:
    good, model = small_file("weights"), small_file("onnx")
    broken = Artefact("tflite-static", 1, lambda pixels: np.roll(embed(model, pixels), 1, axis=1))
    tried = (*compare([broken], trial), *mobile.compare_tflite({"weights": good}, trial))
    assert mobile.choose(tried, ("static", "weights"), Bars(artefact_overlap=0.5)) == "weights"


def test_the_golden_tolerance_is_a_little_below_what_was_measured(tmp_path: Path) -> None:
    golden = make_small_bundle(tmp_path / "bundle", None, tolerances={}).golden
    runtime = TfliteRuntime(small_file("static"))
    worst = float((runtime.embed(golden.tensors) * golden.embeddings).sum(axis=1).min())
    tolerance = mobile.golden_tolerance(small_file("static"), golden, 0.999)
    assert worst - 0.031 < tolerance <= worst - 0.02 and round(tolerance, 2) == tolerance
    assert mobile.golden_tolerance(small_file("fp32"), golden, 0.97) == 0.97
    other = make_small_bundle(tmp_path / "other", None, tolerances={}).golden
    other.embeddings[:] = np.roll(other.embeddings, 1, axis=0)
    with pytest.raises(GoldenMismatch, match=r"TFLite: expected golden embeddings within cosine 0\.92"):
        mobile.golden_tolerance(small_file("static"), other, 0.999)


def test_litert_torch_writes_the_onnx_students_own_integers(litert_python, student, int8, pixels) -> None:
    layers = read_integers(int8)
    files = to_tflite(with_integers(student, layers, SIZE), pixels, ("static",), litert_python, layers)
    interpreter = find_interpreter()[0].Interpreter(model_content=files["static"])
    interpreter.allocate_tensors()
    theirs = [
        interpreter.get_tensor(detail["index"])
        for detail in interpreter.get_tensor_details()
        if detail["dtype"] is np.int8 and len(detail["quantization_parameters"]["scales"]) > 1
    ]
    assert len(theirs) == len(layers)
    for layer in layers:
        flat = sorted(layer.values.ravel().tolist())
        assert [tensor for tensor in theirs if sorted(tensor.ravel().tolist()) == flat]
    got = TfliteRuntime(files["static"]).embed(pixels)
    wanted = emulated_session(int8).run(None, {"pixels": pixels})[0]
    cosines = (got * wanted).sum(axis=1)
    assert cosines.mean() > 0.997 and cosines.min() > 0.98  # activations are rounded in other places
