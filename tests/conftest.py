"""Fixtures for every test: one thread for the numeric libraries, and the real photographs where they are."""

import os

# Before numpy, faiss and ONNX Runtime are imported: on two shared cores their thread pools only fight.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def packs() -> Path:
    """The folder of real photographs; without it the test is skipped, except in CI, where it fails."""
    named = os.environ.get("SIGHTLINE_PACKS")
    if named and (Path(named) / "shopfloor" / "manifest.csv").is_file():
        return Path(named)
    message = f"no photographs at SIGHTLINE_PACKS={named!r}"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny real bundle."""
    from support.tiny_bundle import make_tiny_bundle

    folder = tmp_path_factory.mktemp("bundles") / "tiny"
    make_tiny_bundle(folder)
    return folder


@pytest.fixture(scope="session")
def tiny(tiny_folder: Path):
    """A tiny real bundle, opened."""
    from sightline_shared.bundle import open_bundle

    return open_bundle(tiny_folder)
