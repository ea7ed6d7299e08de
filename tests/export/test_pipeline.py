"""The whole way on drawn pictures: a folder and a recipe in, a bundle that a device opens out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sightline_edge.device import Device
from sightline_export.commands import run as command
from sightline_shared.cli import COMMANDS, main
from sightline_shared.errors import InputError, RecipeInvalid

RECIPE = """
name = "drawn"
version = "7"
weights = "{weights}"
calibration_images = 8
notice = "made in a test"
[[source]]
name = "mine"
folder = "photos"
val_share = 0.25
[[source]]
name = "others"
folder = "others"
kind = "outside"
[teacher]
backbones = ["efficientnet_lite0"]
epochs = 2
[student]
size = 64
dimension = 64
frozen_blocks = 12
[training]
images = 16
batch = 8
shares = [1.0]
workers = 0
checkpoint_steps = 1
[codec]
subspaces = 16
views = 8
iterations = 4
[gate]
prototypes = 8
[quantization]
layers = 0
[bars]
int8_cosine_mean = 0.5
int8_cosine_min = 0.0
int8_recall_loss = 1.0
artefact_cosine_mean = 0.5
artefact_cosine_p1 = 0.0
artefact_overlap = 0.0
smallest_training_set = 16
[evaluation]
queries = 24
robustness_kept = 0.0
effective_rank = 0.0
neighbour_entropy = 0.0
stability_cosine = 0.0
object_wins = 0.0
"""


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory, random_weights: Path) -> Path:
    folder = tmp_path_factory.mktemp("export")
    (folder / "drawn.toml").write_text(RECIPE.format(weights=random_weights))
    return folder


def test_photographs_become_a_bundle(
    work: Path, write_folder: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    write_folder(work / "photos", views=12)
    write_folder(work / "others", views=3)
    words = ["export", "run", str(work / "drawn.toml"), "--out", str(work / "run"), "--quiet", "--json"]
    assert any(command.words == ("export", "run") for command in COMMANDS)
    assert main(words) == 0, capsys.readouterr().err
    result = json.loads(capsys.readouterr().out)
    assert result["ok"] and result["label"] == "drawn 7"

    device = Device.load(result["bundle"])
    assert device.bundle.manifest.notice == "made in a test"
    assert device.bundle.manifest.labels == ("bar", "cross", "disc", "ring")
    assert set(device.bundle.manifest.decision) == {"found_min_score", "not_found_max_score"}
    golden = device.bundle.golden
    assert len(golden.sources) == 8
    assert np.array_equal(device.codec.encode(golden.embeddings), golden.codes)

    metrics = json.loads((work / "run" / "metrics.json").read_text())
    assert metrics["figures"]["int8.cosine_mean"]["n"] > 0
    assert metrics["figures"]["parity.onnx-int8.peak_rss_mib"]["value"] > 20
    assert len(metrics["learning"]["loss"]) == 2
    assert metrics["comparison"]["teacher"].keys() == metrics["comparison"]["int8"].keys()
    assert metrics["figures"]["robustness.mean"]["n"] > 0 and metrics["evaluation"]["forced"] == []
    assert [entry["name"] for entry in metrics["evaluation"]["sources"]] == ["mine", "others"]
    page = (work / "run" / "model-card.html").read_text()
    assert "A bad camera" in page and "Stability and collapse" in page and "<svg" in page
    for name in ("report.md", "student.fp32.onnx", "student.float16.onnx", "student.int8.onnx"):
        assert (work / "run" / name).stat().st_size > 500
    assert str(work) not in (work / "run" / "bundle" / "manifest.json").read_text()


def test_a_checkpoint_of_other_settings_is_refused(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if not (work / "run" / "training" / "checkpoint.pt").is_file():
        pytest.skip("needs the run of the test before")
    words = ["export", "run", str(work / "drawn.toml"), "--out", str(work / "run"), "--images", "24", "--quiet"]
    assert main(words) == 1
    assert "--out" in capsys.readouterr().err


def test_what_stands_in_the_bundles_place_is_not_deleted(work: Path, tmp_path: Path) -> None:
    from sightline_export.workspace import make_room

    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="expected a bundle or nothing"):
        make_room(tmp_path)
    assert (tmp_path / "bundle" / "thesis.txt").is_file()


def test_define_wants_a_name_and_a_path() -> None:
    with pytest.raises(RecipeInvalid, match="NAME=PATH"):
        command.defined(["x"])
    assert command.defined(["A=/b=c"]) == {"A": "/b=c"}
