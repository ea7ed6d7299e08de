"""The benchmark's own doors: a photograph and its vectors find what its code finds, and what is none of them is refused."""

import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from sightline_bench.netsim.uploads import (
    MAX_UPLOAD_BYTES,
    PHOTO_PATH,
    VECTOR_PATH,
    packed_float,
    packed_int8,
    photo_embedding,
    routes,
    vector_embedding,
)
from sightline_bench.quality.tasks import samples_suite
from sightline_cloud.app import create_app
from sightline_cloud.embedded import listen_twice, server_of, url_of
from sightline_cloud.ingest.reader import Entry
from sightline_cloud.settings import Settings
from sightline_edge import Device
from sightline_edge.exchange import headers
from sightline_edge.pipeline import observe
from sightline_shared.budget import Budget
from sightline_shared.errors import BodyMalformed, ImageUnreadable
from sightline_shared.protocol import Query, pack_query, unpack_answer


@pytest.fixture(scope="module")
def device() -> Device:
    return Device.load()


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    suite = samples_suite(tmp_path_factory.mktemp("uploads") / "samples", items=4)
    return [str(photo.path) for photo in next(iter(suite.galleries.values()))]


@pytest.fixture(scope="module")
def service(device: Device, photos: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    settings = Settings(data_dir=tmp_path_factory.mktemp("uploads") / "data", port=0, degrade_at_most=0)
    app = create_app(settings, device.bundle)
    app.include_router(routes(device))
    engine = app.state.engine
    engine.ingest.add_photos("shop", [Entry(Path(path).stem, Path(path), {}) for path in photos])
    engine.catch_up()
    sockets = listen_twice(settings)
    server = server_of(app, sockets[1].getsockname()[1])
    thread = threading.Thread(target=server.run, args=(sockets,))
    thread.start()
    key = engine.keys.add("test", tenant="shop")
    with httpx.Client(base_url=url_of(sockets[0]), headers=headers(key), timeout=60) as client:
        yield client
    server.should_exit = True
    thread.join()


def test_photograph_vectors_and_code_find_the_same(service: httpx.Client, device: Device, photos: list[str]) -> None:
    for photo in photos:
        seen = observe(photo, device, Budget(60_000))
        assert seen.embedding is not None and seen.code
        bodies = {
            PHOTO_PATH: [Path(photo).read_bytes()],
            VECTOR_PATH: [packed_float(seen.embedding), packed_int8(seen.embedding)],
            "/v1/search": [pack_query(Query(device.bundle.pairing.id, (seen.code,), bytes(8), deadline_ms=60_000))],
        }
        found = [
            unpack_answer(service.post(path, content=body).content).matches[0].id
            for path, every in bodies.items()
            for body in every
        ]
        assert found == [Path(photo).stem] * 4


def test_doors_ask_for_a_key_and_refuse_what_is_too_large(service: httpx.Client) -> None:
    for path in (PHOTO_PATH, VECTOR_PATH):
        assert service.post(path, content=b"x", headers={"authorization": ""}).status_code == 401
        assert service.post(path, content=bytes(MAX_UPLOAD_BYTES + 1)).status_code == 413
        assert service.post(path, content=b"no picture and no vector").status_code in (400, 415, 422)


def test_vectors_come_back_as_they_went(device: Device) -> None:
    dim = device.codec.dim
    vector = np.random.default_rng(0).standard_normal(dim).astype(np.float32)
    vector /= np.linalg.norm(vector)
    assert len(packed_float(vector)) == 4 * dim == 1024 and len(packed_int8(vector)) == dim
    np.testing.assert_allclose(vector_embedding(packed_float(vector), device), vector, atol=1e-6)
    # A byte a number: off by half of one of 127 steps at most, of the largest number.
    off = np.abs(vector_embedding(packed_int8(vector), device) - vector).max()
    assert off < np.abs(vector).max() / 127


def test_a_photograph_is_embedded_as_the_device_embeds_it(device: Device, photos: list[str]) -> None:
    seen = observe(photos[0], device, Budget(60_000))
    assert seen.embedding is not None
    np.testing.assert_array_equal(photo_embedding(Path(photos[0]).read_bytes(), device), seen.embedding)
    with pytest.raises(ImageUnreadable):
        photo_embedding(b"no picture", device)


@pytest.mark.parametrize("count", [0, 1, 255, 257, 1023, 1025])
def test_vectors_of_another_size_are_refused(count: int, device: Device) -> None:
    with pytest.raises(BodyMalformed, match="256 numbers"):
        vector_embedding(bytes(count), device)


def test_vectors_without_a_direction_are_refused(device: Device) -> None:
    endless = np.full(device.codec.dim, np.inf, np.float32)
    for body in (bytes(device.codec.dim), bytes(4 * device.codec.dim), endless.tobytes()):
        with pytest.raises(BodyMalformed, match="direction"):
            vector_embedding(body, device)
