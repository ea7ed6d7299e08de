"""Drawn photographs and random weights, for tests that need no packs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from safetensors.torch import save_file

from sightline_export.lite import EfficientNetLite

ITEMS = ("disc", "bar", "ring", "cross")


def draw_picture(item: int, view: int, size: tuple[int, int] = (120, 96)) -> Image.Image:
    """Draw view `view` of item `item`: its own shape and colour, at another place and light."""
    rng = np.random.default_rng(item * 1000 + view)
    ground = rng.integers(60, 200, 3)
    noise = rng.normal(0, 14, (size[1], size[0], 3))
    image = Image.fromarray(np.clip(ground + noise, 0, 255).astype(np.uint8))
    pen = ImageDraw.Draw(image)
    x, y, r = int(rng.integers(30, 80)), int(rng.integers(30, 60)), int(rng.integers(16, 26))
    colour = [(220, 30, 30), (30, 60, 220), (240, 220, 40), (30, 180, 60)][item]
    if item == 0:
        pen.ellipse((x - r, y - r, x + r, y + r), fill=colour)
    elif item == 1:
        pen.rectangle((x - r, y - r // 3, x + r, y + r // 3), fill=colour)
    elif item == 2:
        pen.ellipse((x - r, y - r, x + r, y + r), outline=colour, width=6)
    else:
        pen.line((x - r, y - r, x + r, y + r), fill=colour, width=7)
        pen.line((x - r, y + r, x + r, y - r), fill=colour, width=7)
    return image


def write_pictures(folder: Path, views: int = 12) -> Path:
    """Write `views` pictures of four items, one sub-folder for each."""
    for item, name in enumerate(ITEMS):
        (folder / name).mkdir(parents=True)
        for view in range(views):
            draw_picture(item, view).save(folder / name / f"{view:02d}.png")
    return folder


def write_random_weights(folder: Path) -> Path:
    """Write random EfficientNet-Lite0 weights under the name that the recipe looks for."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    state = EfficientNetLite().state_dict()
    tensors = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    save_file(tensors, folder / "efficientnet_lite0.fp16.safetensors")
    return folder


@pytest.fixture
def draw() -> Callable[..., Image.Image]:
    """draw(item, view, size): one drawn picture."""
    return draw_picture


@pytest.fixture
def write_folder() -> Callable[..., Path]:
    """write_folder(folder, views): drawn pictures of four items, one sub-folder for each."""
    return write_pictures


@pytest.fixture(scope="session")
def random_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with random EfficientNet-Lite0 weights."""
    return write_random_weights(tmp_path_factory.mktemp("weights"))
