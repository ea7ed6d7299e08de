"""One argument chooses the runtime; every runtime keeps the same contract and is proved before it is used."""

import argparse
import importlib
import json
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from support.small_bundle import SIZE, TOLERANCE, make_small_bundle, small_file
from support.tiny_bundle import picture

from sightline_edge import AsyncClient, Client, Device
from sightline_edge.commands import bundle_verify, doctor, query
from sightline_edge.runtimes import base, load_runtime
from sightline_edge.runtimes.base import RUNTIMES
from sightline_edge.runtimes.tflite import TfliteRuntime, find_interpreter
from sightline_shared.bundle import Bundle, open_bundle
from sightline_shared.cli import main
from sightline_shared.errors import BundleCorrupt, ConfigInvalid, ExtraMissing, GoldenMismatch, RuntimeFailed
from sightline_shared.manifest import Manifest
from sightline_shared.preprocess import to_tensor


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small") / "bundle"
    make_small_bundle(folder, small_file("static"))
    return folder


@pytest.fixture(scope="module")
def bundle(small: Path) -> Bundle:
    return open_bundle(small)


@pytest.fixture(params=sorted(RUNTIMES))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def test_every_runtime_embeds_pictures_at_length_one(bundle: Bundle, name: str) -> None:
    runtime = load_runtime(name, bundle)
    tensors = np.stack([to_tensor(picture(seed), SIZE) for seed in range(5)])
    together = runtime.embed(tensors)
    assert together.shape == (5, 256) and together.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-4)
    np.testing.assert_allclose(together, np.concatenate([runtime.embed(row[None]) for row in tensors]), atol=1e-5)


def test_the_two_runtimes_agree_as_far_as_the_manifest_says(bundle: Bundle) -> None:
    tensors = np.stack([to_tensor(picture(500 + seed), SIZE) for seed in range(20)])
    first, second = (load_runtime(name, bundle).embed(tensors) for name in ("onnxruntime", "tflite"))
    assert (first * second).sum(axis=1).min() > TOLERANCE
    # Different pictures are told apart: agreement would otherwise mean nothing.
    assert np.abs(first @ first.T - np.eye(20)).min() < 0.2


@pytest.mark.parametrize("shape", [(1, SIZE, SIZE, 1), (1, SIZE + 1, SIZE, 3)])
def test_every_runtime_names_a_batch_of_the_wrong_shape(bundle: Bundle, name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(RuntimeFailed, match=str(shape[1])):
        load_runtime(name, bundle).embed(np.zeros(shape, np.uint8))


def test_float_pixels_are_refused(bundle: Bundle) -> None:
    with pytest.raises(RuntimeFailed, match=r"expected .* uint8 pixels, got .* float32"):
        load_runtime("tflite", bundle).embed(np.zeros((1, SIZE, SIZE, 3), np.float32))


def test_threads_that_share_a_runtime_get_their_own_embeddings(bundle: Bundle, name: str) -> None:
    runtime = load_runtime(name, bundle)
    tensors = [to_tensor(picture(seed), SIZE)[None] for seed in range(4)]
    alone = [runtime.embed(tensor) for tensor in tensors]
    wrong: list[int] = []

    def ask(turn: int) -> None:
        for _ in range(50):
            if not np.array_equal(runtime.embed(tensors[turn]), alone[turn]):
                wrong.append(turn)

    workers = [threading.Thread(target=ask, args=(turn,)) for turn in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


def test_the_runtimes_name_says_package_and_version(bundle: Bundle) -> None:
    assert load_runtime("tflite", bundle).name.startswith("ai-edge-litert ")


def test_an_unknown_runtime_is_named(bundle: Bundle) -> None:
    with pytest.raises(ConfigInvalid, match=r"expected one of \['onnxruntime', 'tflite'\], got 'coreml'"):
        load_runtime("coreml", bundle)


def test_a_bundle_without_a_tflite_file_says_what_to_do(tmp_path: Path) -> None:
    bundle = make_small_bundle(tmp_path / "bundle", None, tolerances={})
    with pytest.raises(ConfigInvalid, match=r"expected a file in role 'student\.tflite'") as caught:
        Device.load(bundle, runtime="tflite")
    assert "onnxruntime" in caught.value.hint and "[mobile]" in caught.value.hint
    assert Device.load(bundle).runtime.name.startswith("onnxruntime")


def test_without_a_tflite_runtime_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("ai_edge_litert", "ai_edge_litert.interpreter", "tflite_runtime", "tflite_runtime.interpreter"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ExtraMissing, match=r"ai-edge-litert: .*; tflite-runtime: ") as caught:
        find_interpreter()
    assert "pip install 'sightline[tflite]'" in caught.value.hint


def test_a_file_further_from_the_golden_vectors_than_its_own_tolerance_is_refused(tmp_path: Path) -> None:
    bundle = make_small_bundle(tmp_path / "bundle", small_file("static"), tolerances={"student.tflite": 0.9999})
    with pytest.raises(GoldenMismatch, match=r"ai-edge-litert .*within cosine 0\.9999"):
        Device.load(bundle, runtime="tflite")


def test_without_a_tolerance_of_its_own_a_file_is_held_to_the_students(tmp_path: Path) -> None:
    bundle = make_small_bundle(tmp_path / "bundle", small_file("static"), tolerances={})
    with pytest.raises(GoldenMismatch, match=r"within cosine 0\.999 "):
        Device.load(bundle, runtime="tflite")
    bundle = make_small_bundle(tmp_path / "float", small_file("fp32"), tolerances={})
    Device.load(bundle, runtime="tflite")


def test_another_networks_tflite_file_is_refused(tmp_path: Path) -> None:
    data = bytearray(small_file("fp32"))
    weights = np.frombuffer(data, np.float32, count=(len(data) - 8) // 4, offset=8)
    plausible = np.isfinite(weights) & (np.abs(weights) > 1e-3) & (np.abs(weights) < 4)
    assert plausible.sum() > 10_000
    weights[plausible] = np.random.default_rng(0).permutation(weights[plausible])
    bundle = make_small_bundle(tmp_path / "bundle", bytes(data))
    with pytest.raises((GoldenMismatch, RuntimeFailed)):
        Device.load(bundle, runtime="tflite")


def test_both_clients_take_the_runtime(small: Path) -> None:
    for kind in (Client, AsyncClient):
        client = kind("http://127.0.0.1:9", bundle=small, runtime="tflite")
        assert client.device.runtime.name.startswith("ai-edge-litert")
    assert Client("http://127.0.0.1:9", bundle=small).device.runtime.name.startswith("onnxruntime")


@pytest.mark.parametrize("command", [query, doctor, bundle_verify])
def test_the_commands_that_run_the_student_take_the_runtime(command) -> None:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    words = ["x"] if command is query else []
    assert parser.parse_args([*words, "--runtime", "tflite"]).runtime == "tflite"
    assert parser.parse_args(words).runtime == base.DEFAULT_RUNTIME


def test_verify_and_doctor_prove_the_named_runtime(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bundle", "verify", str(small), "--runtime", "tflite", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["runtime"].startswith("ai-edge-litert") and report["golden_min_cosine"] == TOLERANCE
    assert TOLERANCE < report["golden_worst_cosine"] < 0.999
    assert main(["doctor", "--bundle", str(small), "--runtime", "tflite", "--json"]) == 0
    (check,) = [check for check in json.loads(capsys.readouterr().out)["checks"] if check["name"] == "bundle"]
    assert "ai-edge-litert" in check["detail"]


def test_loading_onnxruntime_never_loads_tflite(small: Path) -> None:
    import subprocess

    code = (
        "import sys; from sightline_edge import Device; Device.load(sys.argv[1]);"
        "print(sorted(m for m in sys.modules if 'lite' in m and 'sqlite' not in m))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(small)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_tolerances_travel_in_the_manifest_and_only_when_there_are_some(bundle: Bundle) -> None:
    manifest = Manifest.from_bytes(bundle.manifest.to_bytes())
    assert manifest.golden_min_cosines == {"student.tflite": TOLERANCE}
    assert manifest.tolerance("student") == 0.999 and manifest.tolerance("student.tflite") == TOLERANCE
    plain = json.loads(bundle.manifest.to_bytes())
    del plain["golden_min_cosines"]
    again = Manifest.from_bytes(json.dumps(plain).encode())
    assert again.tolerance("student.tflite") == 0.999 and b"golden_min_cosines" not in again.to_bytes()


@pytest.mark.parametrize("value", [0, -0.5, 1.5, "0.9", None, True, float("nan")])
def test_a_tolerance_that_would_let_anything_pass_is_refused(bundle: Bundle, value: object) -> None:
    fields = json.loads(bundle.manifest.to_bytes())
    fields["golden_min_cosines"] = {"student.tflite": value}
    with pytest.raises(BundleCorrupt, match="cosine"):
        Manifest.from_bytes(json.dumps(fields).encode())


def test_the_module_of_the_tflite_runtime_imports_nothing_heavy() -> None:
    source = Path(importlib.import_module("sightline_edge.runtimes.tflite").__file__ or "").read_text()
    assert "import torch" not in source and "ai_edge_litert" not in source.partition("PACKAGES")[0]
    assert TfliteRuntime.__module__ == "sightline_edge.runtimes.tflite"
