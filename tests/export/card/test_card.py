"""The card: every section from its figures, nothing invented where there are none, pictures of our own only."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from sightline_export.card import tables
from sightline_export.card.numbers import text
from sightline_export.card.page import read_body, render, write_card
from sightline_export.card.pictures import activation_map, overlay, write_pictures
from sightline_export.commands import card as command
from sightline_export.data import Photo, PhotoSet
from sightline_export.evaluation.corruptions import CORRUPTIONS, STRENGTHS
from sightline_export.lite import EfficientNetLite
from sightline_export.recipe import Recipe, Source
from sightline_export.student import Student
from sightline_shared.cli import COMMANDS, main
from sightline_shared.preprocess import to_tensor


def entry(value: float, n: int = 50, data: str = "test photographs") -> dict[str, Any]:
    return {"value": value, "interval": [value - 0.01, value + 0.01], "n": n, "data": data}


@pytest.fixture
def body() -> dict[str, Any]:
    """What an export that measured everything leaves."""
    figures = {
        f"robustness.{name}.{strength}": entry(1 - 0.1 * strength) for name in CORRUPTIONS for strength in STRENGTHS
    }
    figures |= {"robustness.mean": entry(0.8), "robustness.clean_R@1": entry(0.9)}
    for name, ms in (("onnx int8", 5.5), ("onnx fp32", 8.75)):
        figures |= {
            f"parity.{name}.cosine_mean": entry(0.9951),
            f"parity.{name}.cosine_p1": entry(0.985),
            f"parity.{name}.size_bytes": entry(4.1e6),
            f"parity.{name}.one_thread_ms": entry(ms),
        }
    figures |= {
        "gate.auroc": entry(0.987),
        "gate.outside_rejected": entry(0.937),
        "gate.studio_rejected.leave_half_out": entry(0.048),
        "code.shop.overlap@10": entry(0.94),
        "counterfactual.studio.object_wins": entry(0.97),
        "collapse.effective_rank": entry(77.5),
        "generations.shop.fine.old_to_new": entry(0.61),
        "regression.shop.fine.R@1": entry(-0.02),
        "sensitive.auroc": entry(0.999),
    }
    rows = {"shop.fine.R@1": entry(0.774, 2485), "shop.fine.R@10": entry(0.9), "shop.fine.mAP@10": entry(0.71)}
    return {
        "bundle": {"label": "shop 3", "digest": "ab" * 32, "space": "shop-3", "files": {"student.int8.onnx": 4111015}},
        "command": "sightline export run shop.toml",
        "machine": {"processor": "test"},
        "figures": figures,
        "comparison": {"int8": rows, "teacher": rows},
        "learning": {"loss": [{"step": 50, "total": 3.0, "teacher": 1.0}, {"step": 100, "total": 2.0, "teacher": 0.5}]},
        "timings_s": {"student": 290.35},
        "recipe": {"notice": "made & measured in a <test>"},
        "evaluation": {
            "spectrum": [0.6, 0.3, 0.1],
            "scores": {"shop.fine": [{"score": 0.3, "right": 0.5, "n": 9}, {"score": 0.7, "right": 1.0, "n": 9}]},
            "semantic": {
                "labels": ["bar", "ring"],
                "confusion": [[8, 1], [0, 9]],
                "reliability": [{"score": 0.6, "right": 0.7, "n": 9}, {"score": 0.9, "right": 0.9, "n": 9}],
            },
            "sources": [
                {
                    "name": "shop",
                    "kind": "catalogue",
                    "photographs": {"train": 10},
                    "licences": ["MIT"],
                    "origins": ["us"],
                }
            ],
            "forced": [],
            "unmeasured": ["stability.cosine"],
        },
    }


def save(folder: Path, body: dict[str, Any]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "metrics.json").write_text(json.dumps(body))
    return folder


def test_every_section_stands_on_the_page(body: dict[str, Any]) -> None:
    page = render(body, {})
    for title in (
        "What is found", "Artefacts", "The code on the wire", "Strangers", "How far to believe", "A bad camera",
        "What it looks at", "Stability and collapse", "Generations", "How it was made", "Data and licences", "Known limits",
    ):  # fmt: skip
        assert f"<h2>{title}" in page
    assert page.count("<svg") == 6
    assert "77.4 %" in page and "made &amp; measured in a &lt;test&gt;" in page
    assert "stability.cosine" in page and "Every bar that was set was reached" in page
    assert "here 93.7 % and 4.8 %" in page
    assert "never seen a rash" in page and "not run on Core ML" not in page


def test_the_page_needs_nothing_from_outside(body: dict[str, Any]) -> None:
    page = render(body, {"overlays": [], "views": [], "corruptions": {}})
    assert "<script" not in page and "@import" not in page and "<link" not in page
    addresses = re.findall(r"""(?:src|href)\s*=\s*["']([^"']+)""", page)
    assert not [address for address in addresses if not address.startswith(("data:", "#"))]
    assert len(page) < 1_500_000


def test_a_forced_bundle_says_what_it_missed(body: dict[str, Any]) -> None:
    body["evaluation"]["forced"] = ["robustness.mean: expected at least 0.85, got 0.800"]
    page = render(body, {})
    assert "Let through with --force" in page and "expected at least 0.85" in page
    assert "Every bar that was set was reached" not in page


def test_nothing_is_invented_for_an_export_of_before(body: dict[str, Any], tmp_path: Path) -> None:
    del body["evaluation"], body["learning"]
    body["figures"] = {"int8.cosine_mean": entry(0.995)}
    page, data = write_card(save(tmp_path / "run", body))
    text = page.read_text()
    assert "A bad camera" not in text and "Generations" not in text and "<svg" not in text
    assert "Every bar" not in text
    assert json.loads(data.read_text())["artefacts"] == {}


def test_the_json_holds_what_the_page_says(body: dict[str, Any], tmp_path: Path) -> None:
    _, path = write_card(save(tmp_path / "run", body))
    data = json.loads(path.read_text())
    assert data["artefacts"]["onnx int8"]["one_thread_ms"]["value"] == 5.5
    assert data["retrieval"]["int8"]["shop.fine.R@1"]["n"] == 2485
    assert data["figures"] == body["figures"] and data["limits"]


def test_the_command_makes_the_card_again(
    body: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert any(one.words == ("export", "card") for one in COMMANDS)
    folder = save(tmp_path / "run", body)
    assert main(["export", "card", str(folder), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    first = Path(result["html"]).read_bytes()
    assert main(["export", "card", str(folder)]) == 0
    assert "model-card.json" in capsys.readouterr().out and Path(result["html"]).read_bytes() == first
    assert command.__doc__ and "sightline export card" in command.__doc__


@pytest.mark.parametrize("content", [None, "{", "[]", '{"figures": {}}'])
def test_a_folder_without_metrics_is_refused(
    content: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        (tmp_path / "metrics.json").write_text(content)
    assert main(["export", "card", str(tmp_path), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "E_INPUT"


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("shop.fine.R@1", 0.774, "77.4 % [76.4, 78.4]"),
        ("parity.onnx int8.cosine_p1", 0.98512, "0.985 [0.975, 0.995]"),
        ("parity.x.size_bytes", 4111015, "4.11 MB [4.11, 4.11]"),
        ("latency.int8_one_thread_ms", 5.83, "5.83 ms [5.82, 5.84]"),
        ("parity.x.ratio_to_bare_runtime", 1.02, "1.02 x [1.01, 1.03]"),
        ("collapse.effective_rank", 102.71, "102.7 [102.7, 102.7]"),
        ("collapse.participation_ratio", 65.0, "65.0 [65.0, 65.0]"),
        ("counterfactual.studio.background_swapped", 0.704, "0.704 [0.694, 0.714]"),
        ("counterfactual.studio.top1_swapped", 0.95, "95.0 % [94.0, 96.0]"),
        ("gate.auroc.unseen_classes", 0.987, "0.987 [0.977, 0.997]"),
        ("kept", 0.9, "90.0 % [89.0, 91.0]"),
    ],
)
def test_numbers_read_as_what_they_are(name: str, value: float, shown: str) -> None:
    assert text(name, entry(value)) == shown


def test_not_a_number_reads_as_not_measured() -> None:
    assert text("R@1", {"value": float("nan"), "interval": None, "n": 0, "data": ""}) == "not measured"


def test_robustness_is_shaded_from_bad_to_good(body: dict[str, Any]) -> None:
    table = tables.robustness(body["figures"])
    shades = [cell.shade for cell in table.rows[0][1:]]
    assert len(table.rows) == 8 and shades == sorted(shades, reverse=True) and shades[0] == pytest.approx(5 / 6)


@pytest.fixture(scope="module")
def student() -> Student:
    torch.manual_seed(0)
    return Student(EfficientNetLite(), 16, 5).eval()


def test_the_activation_map_adds_up_to_the_inner_product(student: Student) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    direction = np.random.default_rng(1).standard_normal(16).astype(np.float32)
    shares = activation_map(student, pixels, direction)
    assert shares.shape == (2, 2)
    with torch.inference_mode():
        features = student.backbone(torch.from_numpy(pixels[None]))
        before = (features @ student.head.weight.T)[0].numpy()
    assert shares.sum() == pytest.approx(float(before @ direction), rel=1e-3, abs=1e-5)


def test_the_overlay_is_warmest_where_the_share_is_largest() -> None:
    shares = np.zeros((4, 4), np.float32)
    shares[0, 3] = 1
    image = np.asarray(overlay(np.full((64, 64, 3), 100, np.uint8), shares)).astype(int)
    warmth = image[..., 0] - image[..., 2]
    assert warmth[4, 60] == warmth.max() > 60 > warmth[50, 10]


def test_only_pictures_of_the_golden_source_are_shown(student: Student, tmp_path: Path, draw) -> None:
    photos, images = [], []
    for source in ("own", "pack"):
        for item in range(4):
            for view in range(3):
                studio = view == 2
                role = "studio" if studio else "train"
                photos.append(Photo(Path("x"), source, "catalogue", role, "", f"{item}", "", True, studio=studio))
                images.append(draw(item, view) if source == "own" else Image.new("RGB", (64, 64), (255, 0, 255)))
    tensors = np.stack([to_tensor(image, 64) for image in images])
    made = PhotoSet(photos, images, tensors, [""] * len(photos))
    vectors = np.random.default_rng(0).standard_normal((len(photos), 16)).astype(np.float32)
    sources = (Source("own", folder="x"), Source("pack", folder="y"))
    assert write_pictures(tmp_path, Recipe("t", sources), made, vectors, student) == 0
    assert not (tmp_path / "card" / "pictures.json").exists()
    own = Recipe("t", sources, golden_source="own")
    count = write_pictures(tmp_path, own, made, vectors, student)
    assert count == 6 * 3 + 3 * 8 + 8 * 3
    for file in (tmp_path / "card").glob("cam-*-photo.webp"):
        with Image.open(file) as image:
            assert np.abs(np.asarray(image.convert("RGB")).mean(axis=(0, 1)) - (255, 0, 255)).max() > 40


def test_the_body_of_a_run_is_read(body: dict[str, Any], tmp_path: Path) -> None:
    assert read_body(save(tmp_path / "run", body)) == body
