"""Teachers by name: our backbones, an ONNX file, timm's; each gives features of length 1 or a clear error."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from support.tiny_bundle import network

from sightline_export.convert_onnx import to_onnx
from sightline_export.feature_networks import TimmNetwork, open_network
from sightline_export.lite import load_backbone
from sightline_shared.errors import ExtraMissing, RecipeInvalid


def pixels(size: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)


def test_an_onnx_file_is_a_teacher(tmp_path: Path) -> None:
    (tmp_path / "tiny.onnx").write_bytes(network())
    found = open_network(f"onnx:{tmp_path / 'tiny.onnx'}", None)
    features = found.features(pixels(found.size))
    assert found.size == 192 and features.shape == (256,) and abs(float(np.linalg.norm(features)) - 1) < 1e-5
    (tmp_path / "other.onnx").write_bytes(network(seed=1))
    assert open_network(f"onnx:{tmp_path / 'other.onnx'}", None).digest != found.digest


def test_a_backbone_by_name_and_the_same_as_a_file_agree(tmp_path: Path, random_weights: Path) -> None:
    found = open_network("efficientnet_lite0", random_weights)
    model = to_onnx(load_backbone("efficientnet_lite0", random_weights), found.size, "features")
    (tmp_path / "lite0.onnx").write_bytes(model.SerializeToString())
    same = open_network(f"onnx:{tmp_path / 'lite0.onnx'}", None)
    picture = pixels(found.size)
    assert float(found.features(picture) @ same.features(picture)) > 0.9999


def float_input_model() -> bytes:
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 32, 32])
    made = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3, 32, 32])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [given], [made])
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return model.SerializeToString()


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("none.onnx", None, "got none there"),
        ("bad.onnx", b"nonsense", "ONNX model"),
        ("f.onnx", float_input_model(), "uint8"),
    ],
)
def test_a_file_that_cannot_be_a_teacher_is_refused(tmp_path: Path, name: str, data: bytes | None, said: str) -> None:
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(RecipeInvalid, match=said):
        open_network(f"onnx:{tmp_path / name}", None)


def test_timm_is_asked_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """The seam only: timm itself is not installed here."""
    asked: dict[str, object] = {}

    def create_model(name: str, *, pretrained: bool, num_classes: int) -> torch.nn.Module:
        if name != "tiny_vit":
            raise RuntimeError(f"Unknown model ({name})")
        asked.update(name=name, pretrained=pretrained, num_classes=num_classes)
        return torch.nn.Sequential(torch.nn.Conv2d(3, 5, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())

    config = {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.2, 0.2), "input_size": (3, 48, 48)}
    fake = types.SimpleNamespace(
        create_model=create_model, data=types.SimpleNamespace(resolve_model_data_config=lambda model: config)
    )
    monkeypatch.setitem(sys.modules, "timm", fake)  # type: ignore[arg-type]
    found = open_network("timm:tiny_vit", None)
    assert asked == {"name": "tiny_vit", "pretrained": True, "num_classes": 0}
    assert found.size == 48 and found.features(pixels(48)).shape == (5,)
    with pytest.raises(RecipeInvalid, match="Unknown model"):
        open_network("timm:no_such", None)


def test_timm_missing_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ExtraMissing) as caught:
        open_network("timm:vit", None)
    assert "pip install timm" in str(caught.value.hint)


def test_timms_normalisation_is_in_the_network() -> None:
    network = TimmNetwork(torch.nn.Identity(), (0.5, 0.25, 0.0), (0.5, 0.25, 1.0))
    picture = torch.full((1, 2, 2, 3), 255, dtype=torch.uint8)
    assert torch.allclose(network(picture)[0, :, 0, 0], torch.tensor([1.0, 3.0, 1.0]))
