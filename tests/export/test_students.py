"""Every student by name: the frozen split, ridge head, conversion, int8 and the golden check, with random weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from sightline_edge.runtimes.ort import OrtRuntime
from sightline_export import recipe as recipes
from sightline_export.convert_onnx import open_session, run_rows, to_onnx
from sightline_export.golden_pictures import draw_picture, make_golden, png
from sightline_export.layer_errors import cosines
from sightline_export.lite import BACKBONES, EfficientNetLite, load_backbone
from sightline_export.quantize import quantize
from sightline_export.student import Lower, Student, folded, new_student, ridge_head
from sightline_shared.codec import Codec
from sightline_shared.errors import RecipeInvalid
from sightline_shared.preprocess import to_tensor

SIZE = 64
STUDENTS = {"efficientnet_lite0": 1280, "efficientnet_lite0_short": 672, "efficientnet_lite2": 1280}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights whose signal survives the whole network."""
    folder = tmp_path_factory.mktemp("students")
    torch.manual_seed(0)
    for spec in (BACKBONES["efficientnet_lite0"], BACKBONES["efficientnet_lite2"]):
        model = EfficientNetLite(spec.width, spec.depth)
        for module in model.modules():
            if isinstance(module, torch.nn.Conv2d):
                torch.nn.init.kaiming_normal_(module.weight)
        state = {key: value for key, value in model.state_dict().items() if not key.endswith("num_batches_tracked")}
        save_file(state, folder / spec.weights_file)
    return folder


@pytest.fixture(scope="module")
def short(weights: Path) -> Student:
    return made("efficientnet_lite0_short", weights)


@pytest.fixture
def pixels(draw: Callable[..., Image.Image]) -> np.ndarray:
    return np.stack([to_tensor(draw(view % 4, view), SIZE) for view in range(8)])


def made(name: str, weights: Path) -> Student:
    return new_student(recipes.Student(backbone=name, size=SIZE, dimension=32), weights)


@pytest.mark.parametrize("name", STUDENTS)
def test_the_frozen_blocks_and_the_rest_make_the_whole(name: str, weights: Path, pixels: np.ndarray) -> None:
    student = made(name, weights)
    assert student.backbone.features == STUDENTS[name] == student.head.in_features
    with torch.inference_mode():
        whole = student(torch.from_numpy(pixels))
        lowered = Lower(student)(torch.from_numpy(pixels))
        assert torch.allclose(student.from_lower(lowered), whole, atol=1e-4)
        assert torch.allclose(folded(student)(torch.from_numpy(pixels)), whole, atol=1e-4)
    assert whole.shape == (8, 32) and float(torch.pdist(whole).min()) > 0


def test_the_short_one_is_lite0_up_to_the_expansion_of_its_next_block(weights: Path, pixels: np.ndarray) -> None:
    short, long = load_backbone("efficientnet_lite0_short", weights), load_backbone("efficientnet_lite0", weights)
    assert isinstance(short, EfficientNetLite) and isinstance(long, EfficientNetLite)
    blocks = len(short.blocks)
    with torch.inference_mode():
        middle = long.lower(torch.from_numpy(pixels), blocks)
        expected = long.blocks[blocks].expand(middle).mean(dim=(2, 3))
        assert torch.allclose(short(torch.from_numpy(pixels)), expected, atol=1e-5)
    count = [sum(value.numel() for value in model.parameters()) for model in (short, long)]
    assert count[0] < 0.4 * count[1]


def test_the_short_one_goes_all_the_way_to_a_golden_int8_file(short: Student, pixels: np.ndarray) -> None:
    features = run_rows(open_session(to_onnx(folded(short).backbone, SIZE, "features")), pixels)
    targets = np.random.default_rng(0).standard_normal((8, 32)).astype(np.float32)
    targets /= np.linalg.norm(targets, axis=1, keepdims=True)
    assert ridge_head(short, features, targets, penalty=1e-4) > 0.9
    model = to_onnx(folded(short), SIZE)
    int8 = quantize(model, pixels).SerializeToString()
    device = OrtRuntime(int8)
    assert cosines(OrtRuntime(model.SerializeToString()).embed(pixels), device.embed(pixels)).min() > 0.98
    assert len(int8) < 1.5e6
    codec = Codec(np.zeros(32, np.float32), np.eye(32, dtype=np.float32), np.zeros((8, 256, 4), np.float32))
    golden = make_golden(tuple(png(draw_picture(seed)) for seed in range(4)), int8, codec, SIZE)
    assert cosines(golden.embeddings, device.embed(golden.tensors)).min() > 0.9999
    assert golden.embeddings.shape == (4, 32)


def test_unknown_names_give_the_list_and_too_many_frozen_blocks_are_refused(weights: Path) -> None:
    with pytest.raises(RecipeInvalid, match="efficientnet_lite0_short"):
        made("efficientnet_lite9", weights)
    with pytest.raises(RecipeInvalid, match="at most the 11 blocks"):
        new_student(recipes.Student(backbone="efficientnet_lite0_short", size=SIZE, frozen_blocks=12), weights)


def test_weights_that_lack_a_tensor_are_refused(weights: Path, tmp_path: Path) -> None:
    file = BACKBONES["efficientnet_lite0_short"].weights_file
    tensors = load_file(weights / file)
    del tensors["blocks.11.expand.conv.weight"]
    save_file(tensors, tmp_path / file)
    with pytest.raises(RecipeInvalid, match="expected weights for"):
        load_backbone("efficientnet_lite0_short", tmp_path)
