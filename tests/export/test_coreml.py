"""Core ML packages, without Core ML: what the file says, what its weights decode to, what its program computes."""

import gc
import shutil
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from sightline_export import mil_program
from sightline_export.convert_coreml import CoreMlPackage, layer_weights, to_coreml, verified
from sightline_export.lite import EfficientNetLite
from sightline_export.mil_file import Operation, coremltools, quiet, read_package
from sightline_export.mil_program import MilProgram
from sightline_export.recipe import Mobile
from sightline_export.student import Student, folded
from sightline_shared.errors import ExtraMissing, GoldenMismatch, RuntimeFailed

SIZE = 64
# A bar that some layers meet and some do not: palettes of 64 values.
SETTINGS = Mobile(coreml=("float16", "int8", "palette"), palette_error=0.02, palette_worst=0.05)


@pytest.fixture(scope="module")
def student() -> Student:
    """A narrow and shallow EfficientNet-Lite with random weights: every operator of the one that ships."""
    torch.manual_seed(3)
    made = Student(EfficientNetLite(width=0.3, depth=0.3), 32, 1).eval()
    with torch.no_grad():  # a heavy tail is what palettes cannot bear
        drawn = torch.randn(made.head.weight.shape)
        made.head.weight.copy_(drawn * drawn.abs() / 40)
    return folded(made)


@pytest.fixture(scope="module")
def packages(student: Student, tmp_path_factory: pytest.TempPathFactory) -> dict[str, CoreMlPackage]:
    return to_coreml(student, SIZE, tmp_path_factory.mktemp("coreml"), SETTINGS)


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (6, 8, 8, 3))
    return np.clip(coarse.repeat(8, axis=1).repeat(8, axis=2) + rng.normal(0, 9, (6, SIZE, SIZE, 3)), 0, 255).astype(
        np.uint8
    )


def cosines(student: Student, program: MilProgram, pixels: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        wanted = student(torch.from_numpy(pixels)).numpy()
    return (wanted * program.embed(pixels)).sum(axis=1)


def test_the_programs_compute_the_students_embeddings(student, packages, pixels) -> None:
    for variant, least in (("float16", 0.9995), ("int8", 0.98), ("palette", 0.95)):
        assert cosines(student, packages[variant].program(), pixels).min() > least, variant
        lengths = np.linalg.norm(packages[variant].program().embed(pixels), axis=1)
        np.testing.assert_allclose(lengths, 1, atol=1e-5)


def test_the_app_gives_a_picture_and_the_pixel_specification_is_its_scale_and_bias(packages) -> None:
    program = packages["float16"].program()
    assert (program.image.name, program.image.kind, program.image.shape) == ("image", "image RGB", (SIZE, SIZE))
    assert (program.output.name, program.output.kind, program.output.shape) == ("embedding", "multiArrayType", (1, 32))
    constants = {step.output: step.constants["val"] for step in program.file.operations if step.kind == "const"}
    first, second = [step for step in program.file.operations if step.kind in ("mul", "add")][:2]
    assert first.inputs["x"] == "image" and constants[first.inputs["y"]] == 1 / 128
    assert second.inputs["x"] == first.output
    np.testing.assert_array_equal(np.ravel(constants[second.inputs["y"]]), [-127 / 128] * 3)


def test_the_tail_stays_in_float32(packages) -> None:
    for package in packages.values():
        kinds = {step.kind: step.dtype for step in package.program().file.operations}
        assert kinds["reduce_l2_norm"] == kinds["real_div"] == "<f4" and kinds["conv"] == "<f2"


def test_our_reading_of_the_weights_is_apples(packages) -> None:
    tools = coremltools()
    for variant in ("int8", "palette"):
        path = packages[variant].folder.with_name(f"{variant}.dense.mlpackage")
        with quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its temporary folders are cleaned up with a warning
            model = tools.models.MLModel(str(packages[variant].folder), skip_model_load=True)
            tools.optimize.coreml.decompress_weights(model).save(str(path))
            del model
            gc.collect()
        theirs, ours = MilProgram.load(path).weights, packages[variant].program().weights
        assert list(theirs) == list(ours) and len(ours) > 15
        for name, weight in ours.items():
            np.testing.assert_allclose(weight, theirs[name], rtol=0, atol=np.abs(weight).max() * 2**-10)


def test_weight_errors_are_those_of_the_slow_formula(student, packages) -> None:
    trained = layer_weights(student, SIZE)
    for package in packages.values():
        assert [error.layer for error in package.layers] == list(trained)
        for error, stored in zip(package.layers, package.program().weights.values(), strict=True):
            gaps = [float(a) - float(b) for a, b in zip(stored.ravel(), trained[error.layer].ravel(), strict=True)]
            square = sum(float(value) ** 2 for value in trained[error.layer].ravel())
            assert error.relative == pytest.approx((sum(gap**2 for gap in gaps) / square) ** 0.5, rel=1e-6)
            assert error.worst == pytest.approx(max(map(abs, gaps)) / abs(trained[error.layer]).max(), rel=1e-6)


def test_a_palette_is_kept_only_where_the_layer_passes_its_bar(packages) -> None:
    stored = {error.layer: error for error in packages["palette"].layers}
    kinds = {error.stored for error in stored.values()}
    assert "palette6" in kinds and "linear" in kinds
    for error in stored.values():
        if error.stored == "palette6":
            assert error.relative <= SETTINGS.palette_error and error.worst <= SETTINGS.palette_worst
    steps = [step.kind for step in packages["palette"].program().file.operations]
    assert steps.count("constexpr_lut_to_dense") == sum(e.stored == "palette6" for e in stored.values())
    assert steps.count("constexpr_affine_dequantize") == sum(e.stored == "linear" for e in stored.values())
    assert packages["palette"].size_bytes < packages["int8"].size_bytes < packages["float16"].size_bytes


def test_packed_indices_are_read_lowest_bits_first() -> None:
    lut, indices = np.arange(64, dtype=np.float16) - 31, np.random.default_rng(0).integers(0, 64, 35)
    number = sum(int(index) << (6 * place) for place, index in enumerate(indices))
    packed = np.frombuffer(number.to_bytes((35 * 6 + 7) // 8, "little"), np.uint8)
    step = Operation(
        "constexpr_lut_to_dense", "w", "<f2", (5, 7), {}, {"lut": lut, "indices": packed, "shape": np.array([5, 7])}
    )
    np.testing.assert_array_equal(mil_program._palette(step).numpy().ravel(), [float(lut[i]) for i in indices])


def test_padding_and_norm_follow_the_mil_definitions() -> None:
    x = torch.from_numpy(np.random.default_rng(1).normal(size=(1, 2, 3, 4)).astype(np.float32))
    pads = [0, 0, 0, 0, 0, 1, 2, 3]
    got = mil_program._pad({"x": x, "pad": np.array(pads), "mode": "constant", "constant_val": np.float32(5)})
    np.testing.assert_array_equal(got, np.pad(x.numpy(), [(0, 0), (0, 0), (0, 1), (2, 3)], constant_values=5))
    length = mil_program._length({"x": x, "axes": np.array([1]), "keep_dims": np.array(True)})
    np.testing.assert_allclose(length, np.sqrt((x.numpy() ** 2).sum(axis=1, keepdims=True)), rtol=1e-6)
    with pytest.raises(RuntimeFailed, match="expected the mode 'constant', got 'reflect'"):
        mil_program._pad({"x": x, "pad": np.array(pads), "mode": "reflect"})
    with pytest.raises(RuntimeFailed, match="pad_type"):
        mil_program._conv({"x": x, "pad_type": "same"})


def edited(package: CoreMlPackage, tmp_path: Path, change) -> Path:
    """A copy of the package whose program `change` has edited."""
    folder = shutil.copytree(package.folder, tmp_path / "edited.mlpackage")
    path = next(folder.rglob("model.mlmodel"))
    model = coremltools().proto.Model_pb2.Model.FromString(path.read_bytes())
    function = model.mlProgram.functions["main"]
    change(function.block_specializations[function.opset].operations)
    path.write_bytes(model.SerializeToString())
    return folder


def test_an_operation_that_is_not_known_is_refused_never_skipped(packages, tmp_path: Path) -> None:
    def swap(operations) -> None:
        next(operation for operation in operations if operation.type == "relu6").type = "gelu"

    with pytest.raises(RuntimeFailed, match=r"MIL operation 'gelu' .*: expected one of"):
        MilProgram.load(edited(packages["float16"], tmp_path, swap))


def test_a_value_of_another_shape_than_the_file_states_is_refused(packages, pixels, tmp_path: Path) -> None:
    def shrink(operations) -> None:
        operation = next(operation for operation in operations if operation.type == "relu6")
        operation.outputs[0].type.tensorType.dimensions[1].constant.size = 3

    with pytest.raises(RuntimeFailed, match=r"MIL operation 'relu6' .*: expected"):
        MilProgram.load(edited(packages["float16"], tmp_path, shrink)).embed(pixels[:1])


@pytest.mark.parametrize("variant", ["float16", "int8", "palette"])
def test_weights_that_moved_after_conversion_are_refused_by_layer(student, packages, tmp_path, variant: str) -> None:
    folder = shutil.copytree(packages[variant].folder, tmp_path / "moved.mlpackage")
    path = next(folder.rglob("weight.bin"))
    data = bytearray(path.read_bytes())
    place = len(data) // 2
    data[place : place + 64] = bytes(value ^ 0x35 for value in data[place : place + 64])
    path.write_bytes(data)
    stored = {error.layer: error.stored for error in packages[variant].layers}
    with pytest.raises(GoldenMismatch, match=r"layer (backbone|head).*expected a weight error of at most"):
        verified(folder, layer_weights(student, SIZE), stored, SIZE, SETTINGS)


def test_equal_students_give_equal_packages(student, packages, tmp_path: Path) -> None:
    again = to_coreml(student, SIZE, tmp_path, Mobile(coreml=("float16",)))["float16"]
    first, second = (
        {str(file.relative_to(p.folder)): file.read_bytes() for file in p.folder.rglob("*") if file.is_file()}
        for p in (packages["float16"], again)
    )
    assert first == second


def test_the_figures_of_a_program_say_that_it_did_not_run_on_core_ml(packages) -> None:
    assert "not run on Core ML" in packages["int8"].program().name


def test_without_coremltools_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "coremltools", None)
    with pytest.raises(ExtraMissing, match="expected the package coremltools") as caught:
        coremltools()
    assert "sightline[coreml]" in caught.value.hint


@pytest.mark.parametrize("damage", ["no manifest", "no model", "garbage model", "short weights", "no sentinel"])
def test_a_damaged_package_is_refused(packages, tmp_path: Path, damage: str) -> None:
    folder = shutil.copytree(packages["int8"].folder, tmp_path / "bad.mlpackage")
    model, weights = next(folder.rglob("model.mlmodel")), next(folder.rglob("weight.bin"))
    if damage == "no manifest":
        (folder / "Manifest.json").unlink()
    elif damage == "no model":
        model.unlink()
    elif damage == "garbage model":
        model.write_bytes(b"\x93garbage" * 50)
    elif damage == "short weights":
        weights.write_bytes(weights.read_bytes()[:-4000])
    else:
        weights.write_bytes(weights.read_bytes().replace(b"\xef\xbe\xad\xde", b"\x00\x00\x00\x00"))
    with pytest.raises(RuntimeFailed):
        MilProgram.load(folder)


def test_weights_outside_the_package_are_not_read(packages, tmp_path: Path) -> None:
    def point_outside(operations) -> None:
        for operation in operations:
            value = operation.attributes["val"] if operation.type == "const" else None
            if value is not None and value.WhichOneof("value") == "blobFileValue":
                value.blobFileValue.fileName = "@model_path/../../../../../etc/passwd"

    folder = edited(packages["float16"], tmp_path, point_outside)
    with pytest.raises(RuntimeFailed, match="expected a file inside the package"):
        read_package(folder)


def test_pixels_of_another_size_are_refused(packages) -> None:
    with pytest.raises(RuntimeFailed, match="expected"):
        packages["float16"].program().embed(np.zeros((1, SIZE, SIZE + 1, 3), np.uint8))
