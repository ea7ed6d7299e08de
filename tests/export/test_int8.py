"""The int8 stage: what it writes, when it fine-tunes, and that it keeps what is nearer to float."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.lively import lively_student

from sightline_edge.runtimes.ort import OrtRuntime
from sightline_export.convert_onnx import to_onnx
from sightline_export.data import Photo, PhotoSet
from sightline_export.int8 import make_int8
from sightline_export.layer_errors import cosines
from sightline_export.progress import Progress
from sightline_export.recipe import Qat, Quantization, Recipe, Source
from sightline_export.recipe import Student as StudentSettings
from sightline_export.student import Student
from sightline_export.workspace import Run

SIZE = 32


@pytest.fixture(scope="module")
def student() -> Student:
    return lively_student(3)


@pytest.fixture
def photos(draw: Callable[..., Image.Image]) -> PhotoSet:
    images = [draw(view % 4, view) for view in range(16)]
    listed = [
        Photo(
            Path(f"{turn}.png"), "shop", "catalogue", "val" if turn % 4 == 3 else "train", "", str(turn % 4), "", True
        )
        for turn in range(16)
    ]
    tensors = np.stack([np.asarray(image.resize((SIZE, SIZE))) for image in images])
    return PhotoSet(listed, images, tensors, [str(turn) for turn in range(16)])


class Listener(Progress):
    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    settings = StudentSettings(size=SIZE, dimension=16)
    recipe = Recipe(
        "x",
        (Source("shop", folder="."),),
        student=settings,
        calibration_images=12,
        quantization=Quantization(layers=2),
    )
    return Run(recipe, tmp_path, Listener(), tmp_path, "cpu")


def test_it_writes_the_layer_report_and_the_ort_file(run: Run, photos: PhotoSet, student: Student) -> None:
    model = to_onnx(student, SIZE)
    int8 = make_int8(run, photos, student, model).SerializeToString()
    body = json.loads((run.folder / "layers.json").read_text())
    assert body["photographs"] == 2 and body["guilty"] == body["layers"][0]["name"]
    device, floats = OrtRuntime(int8), OrtRuntime(model.SerializeToString())
    assert np.array_equal(
        OrtRuntime((run.folder / "student.int8.ort").read_bytes()).embed(photos.tensors), device.embed(photos.tensors)
    )
    assert cosines(floats.embed(photos.tensors), device.embed(photos.tensors)).min() > 0.98
    assert "QLinearConv" in (run.folder / "required_operators.config").read_text()
    assert isinstance(run.progress, Listener)
    assert not any("fine-tuning" in line for line in run.progress.lines)


def test_fine_tuning_runs_when_a_bar_is_missed_and_never_makes_it_worse(
    run: Run, photos: PhotoSet, student: Student
) -> None:
    quick = dataclasses.replace(run.recipe, quantization=Quantization(layers=0, ort=False))
    model = to_onnx(student, SIZE)
    floats = OrtRuntime(model.SerializeToString()).embed(photos.tensors[3::4])
    reached = []
    for qat in (Qat(), Qat(steps=2, batch=4, cosine_mean=1.0)):
        progress = Listener()
        again = dataclasses.replace(run, recipe=dataclasses.replace(quick, qat=qat), progress=progress)
        int8 = make_int8(again, photos, student, model).SerializeToString()
        reached.append(cosines(floats, OrtRuntime(int8).embed(photos.tensors[3::4])).mean())
        assert any("after fine-tuning" in line for line in progress.lines) == (qat.steps > 0)
    assert reached[1] >= reached[0] - 1e-6
