"""ExecuTorch is optional: refused clearly without it, the float student's numbers with it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from support.lively import lively_student

from sightline_export import recipe as recipes
from sightline_export.convert_executorch import run_executorch, to_executorch, write_executorch
from sightline_export.mobile import make_mobile
from sightline_export.parity import Trial
from sightline_export.progress import Progress
from sightline_export.recipe import Recipe
from sightline_export.student import Student
from sightline_export.workspace import Run
from sightline_shared.errors import ExtraMissing

SIZE = 32
HERE = importlib.util.find_spec("executorch") is not None


@pytest.fixture
def student() -> Student:
    return lively_student(3)


@pytest.mark.skipif(HERE, reason="executorch is installed")
def test_without_the_package_it_says_what_to_install(student: Student, tmp_path: Path) -> None:
    with pytest.raises(ExtraMissing, match="expected the package 'executorch'"):
        to_executorch(student, SIZE)
    with pytest.raises(ExtraMissing):
        run_executorch(b"", np.zeros((1, SIZE, SIZE, 3), np.uint8))
    with pytest.raises(ExtraMissing):
        write_executorch(student, SIZE, np.zeros((1, SIZE, SIZE, 3), np.uint8), tmp_path / "student.pte")
    assert not (tmp_path / "student.pte").exists()


@pytest.mark.skipif(HERE, reason="executorch is installed")
def test_a_recipe_that_asks_for_it_is_told_the_same(student: Student, tmp_path: Path) -> None:
    recipe = Recipe("drawn", (), student=recipes.Student(size=SIZE), mobile=recipes.Mobile(executorch=True))
    run = Run(recipe, tmp_path, Progress(quiet=True), tmp_path)
    nothing = np.zeros((0, 16), np.float32)
    trial = Trial(np.zeros((1, SIZE, SIZE, 3), np.uint8), nothing, nothing, "")
    with pytest.raises(ExtraMissing, match="expected the package 'executorch'"):
        make_mobile(run, student, b"", trial.pixels, trial)


@pytest.mark.skipif(not HERE, reason="executorch has its own environment")
def test_the_program_gives_the_float_students_embeddings(student: Student, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, SIZE, SIZE, 3), dtype=np.uint8)
    program = write_executorch(student, SIZE, pixels, tmp_path / "student.pte")
    with torch.inference_mode():
        expected = student(torch.from_numpy(pixels)).numpy()
    assert np.abs(run_executorch(program, pixels) - expected).max() < 1e-3
