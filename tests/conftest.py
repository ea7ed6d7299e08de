"""Fixtures for every test: one thread for the numeric libraries, and the real photographs where they are."""

import os

# Before numpy, faiss and ONNX Runtime are imported: on two shared cores their thread pools only fight.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.service import Service
from support.tiny_bundle import make_tiny_bundle

from sightline_cloud.embedded import EmbeddedService
from sightline_cloud.settings import Settings
from sightline_edge import Device
from sightline_shared.bundle import Bundle, open_bundle


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
    folder = tmp_path_factory.mktemp("bundles") / "tiny"
    make_tiny_bundle(folder, sensitive=True)
    return folder


@pytest.fixture(scope="session")
def tiny(tiny_folder: Path) -> Bundle:
    """A tiny real bundle, opened."""
    return open_bundle(tiny_folder)


@pytest.fixture
def start(tiny: Bundle, tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Starts services over the test's data folder, one after another or side by side."""
    running: list[EmbeddedService] = []
    device = Device.load(tiny)

    def begin(folder: str = "data", **settings: object) -> Service:
        # On a busy machine the degrade ladder would cut answers here and there: its own tests switch it on.
        chosen = {"data_dir": tmp_path / folder, "port": 0, "degrade_at_most": 0, **settings}
        service = EmbeddedService(Settings(**chosen), tiny).start()
        running.append(service)
        name = f"test{len(service.engine.keys.list())}"
        return Service(service.url, service.engine, device, service.engine.keys.add(name), service.admin_url)

    begin.stop = lambda: [running.pop().stop() for _ in range(len(running))]  # type: ignore[attr-defined]
    yield begin
    begin.stop()  # type: ignore[attr-defined]


@pytest.fixture
def service(start: Callable[..., Service]) -> Service:
    """A service with items 0 to 9."""
    begun = start()
    for number in range(10):
        assert begun.add(number, title=f"Item {number}").status_code == 200
    return begun
