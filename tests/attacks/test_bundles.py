"""Bundles built to harm: nothing is parsed before it hashes, nothing rides along, a wrong runtime is refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from support.tiny_bundle import embed, make_tiny_bundle, network

from sightline_edge import Device
from sightline_shared.bundle import MANIFEST, damaged_files, open_bundle
from sightline_shared.cli import main
from sightline_shared.errors import (
    BundleCorrupt,
    BundleError,
    BundleNotFound,
    BundleUnsupported,
    GoldenMismatch,
    InputError,
    RuntimeFailed,
)
from sightline_shared.manifest import FileEntry


@pytest.fixture
def folder(tiny_folder: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_folder, tmp_path / "bundle")


def rewritten(folder: Path, change) -> None:
    """Apply `change` to the manifest's fields, in place."""
    path = folder / MANIFEST
    fields = json.loads(path.read_text())
    change(fields)
    path.write_text(json.dumps(fields))


def resealed(folder: Path, name: str, data: bytes) -> None:
    """Replace a file and its digest: what someone can do who may write the manifest too."""
    (folder / name).write_bytes(data)
    entry = FileEntry.of(data)
    rewritten(folder, lambda f: f["files"].update({name: {"size_bytes": entry.size_bytes, "sha256": entry.sha256}}))


FILES = ("student.onnx", "codec.msgpack", "gate.msgpack", "golden.msgpack")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["flip", "truncate", "grow", "empty", "missing"])
def test_any_damage_to_any_file_is_refused_before_it_is_parsed(folder: Path, name: str, damage: str) -> None:
    path = folder / name
    data = bytearray(path.read_bytes())
    if damage == "flip":
        data[len(data) // 2] ^= 1
    damaged = {"truncate": data[:-1], "grow": data + b"x", "empty": b""}.get(damage, data)
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(bytes(damaged))
    with pytest.raises(BundleCorrupt, match=name):
        open_bundle(folder)
    assert list(damaged_files(folder)) == [name]


def test_a_file_that_the_manifest_does_not_name_is_refused(folder: Path) -> None:
    (folder / "extra.so").write_bytes(b"x")
    with pytest.raises(BundleCorrupt, match=r"extra\.so"):
        open_bundle(folder)
    assert damaged_files(folder) == {"extra.so": "is not named in the manifest"}


@pytest.mark.parametrize("name", ["../codec.msgpack", "/etc/passwd", "a/b", "", ".hidden", "x" * 200])
def test_a_file_name_that_leaves_the_folder_is_refused(folder: Path, name: str) -> None:
    rewritten(folder, lambda f: f["files"].update({name: f["files"]["codec.msgpack"]}))
    with pytest.raises(BundleCorrupt, match="is not of the form"):
        open_bundle(folder)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda f: f.update(format=2), BundleUnsupported),
        (lambda f: f.update(format="1"), BundleUnsupported),
        (lambda f: f.update(surprise=1), BundleCorrupt),
        (lambda f: f.pop("decision"), BundleCorrupt),
        (lambda f: f.update(decision={"found_min_score": "high"}), BundleCorrupt),
        (lambda f: f["roles"].update(student="nowhere.onnx"), BundleCorrupt),
        (lambda f: f.update(input_size=10**6), BundleCorrupt),
        (lambda f: f["files"]["codec.msgpack"].update(size_bytes=10**12), BundleCorrupt),
        (lambda f: f["files"]["codec.msgpack"].update(sha256="0"), BundleCorrupt),
        (lambda f: f.update(files=[]), BundleCorrupt),
    ],
)
def test_a_manifest_with_a_wrong_field_is_refused(folder: Path, change, error: type[BundleError]) -> None:
    rewritten(folder, change)
    with pytest.raises(error):
        open_bundle(folder)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b" " * (1024 * 1024 + 1)])
def test_a_manifest_that_is_none_is_refused(folder: Path, data: bytes) -> None:
    (folder / MANIFEST).write_bytes(data)
    with pytest.raises(BundleError):
        open_bundle(folder)


def test_a_folder_without_a_bundle_is_named(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(BundleNotFound, match=r"manifest\.json"):
            open_bundle(path)


@pytest.mark.parametrize("name", FILES)
def test_a_resealed_file_of_garbage_is_refused_by_its_parser(folder: Path, name: str) -> None:
    resealed(folder, name, b"\x93garbage")
    with pytest.raises((BundleCorrupt, RuntimeFailed)):
        Device.load(folder)


def test_a_model_that_computes_other_numbers_is_refused(folder: Path) -> None:
    resealed(folder, "student.onnx", network(seed=9))
    with pytest.raises(GoldenMismatch, match=r"expected golden embeddings within cosine 0\.99"):
        Device.load(folder)


def test_a_model_that_gives_no_numbers_is_refused(folder: Path) -> None:
    model = onnx.load_from_string(network())
    for constant in model.graph.initializer:
        if constant.name == "half":
            constant.CopyFrom(onnx.numpy_helper.from_array(np.asarray(np.float32("nan")), "half"))
    resealed(folder, "student.onnx", model.SerializeToString())
    with pytest.raises(GoldenMismatch, match="expected finite golden embeddings"):
        Device.load(folder)


def test_a_model_with_other_inputs_is_refused(folder: Path) -> None:
    data = network().replace(b"pixels", b"pixelz")
    resealed(folder, "student.onnx", data)
    with pytest.raises(RuntimeFailed, match="ONNX Runtime"):
        Device.load(folder)


def test_embeddings_that_are_not_of_unit_length_are_refused(tiny) -> None:
    model = tiny.role("student")
    with pytest.raises(GoldenMismatch, match=r"lengths 1\.400"):
        tiny.check_golden(lambda tensors: 1.4 * embed(model, tensors), runtime="a runtime that forgets")


def test_a_bundle_is_written_whole_or_not_at_all(tiny, tmp_path: Path) -> None:
    from sightline_shared.bundle import write_bundle

    files = {**tiny.files, "codec.msgpack": b"other"}
    with pytest.raises(InputError, match="match the files given"):
        write_bundle(tmp_path / "new", tiny.manifest, files)
    assert not (tmp_path / "new").exists()
    with pytest.raises(InputError, match="does not exist yet"):
        make_tiny_bundle(tmp_path)


def test_verify_names_the_damage_and_fails(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bundle", "verify", str(folder)]) == 0
    assert "verified" in capsys.readouterr().out
    (folder / "gate.msgpack").write_bytes(b"short")
    assert main(["bundle", "verify", str(folder), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is False and "expected 131" not in report["damaged"] and "gate.msgpack" in report["damaged"]


def test_the_command_line_names_a_missing_bundle_without_a_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bundle", "show", str(tmp_path)]) == 1
    said = capsys.readouterr()
    assert "E_BUNDLE_NOT_FOUND" in said.err and "Traceback" not in said.err and not said.out
