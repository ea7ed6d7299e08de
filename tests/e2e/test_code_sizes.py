"""Every size of code through a live service: 32, 64 and 96 bytes of PCA-OPQ, and the wide code of a byte a number."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import msgpack
import numpy as np
import pytest
from support.service import Service
from support.tiny_bundle import DIM, SIZE, make_tiny_bundle, picture

from sightline_cloud.catalog.records import Embedding, NewItem
from sightline_cloud.embedded import EmbeddedService
from sightline_cloud.settings import Settings
from sightline_edge import Device, Options, Outcome
from sightline_export.recipe import Codec as CodecSettings
from sightline_export.train_codec import make_codec
from sightline_shared.codec import Codec
from sightline_shared.preprocess import to_tensor
from sightline_shared.protocol import MAX_CODES, MAX_CODES_BYTES, Query, pack_query, unpack_answer

# As the recipe names them: kind, subspaces, and the bytes that travel.
KINDS = [("pq", 32, 32), ("pq", 64, 64), ("pq", 96, 96), ("sq8", 0, DIM)]
MSGPACK = {"content-type": "application/msgpack"}
ITEMS = 10
# The smallest catalogue that may have the large index.
IVF_FROM = 1000


@dataclass
class Sized:
    """A service over a bundle whose codes have `size` bytes."""

    service: Service
    size: int


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: f"{kind[0]}-{kind[2]}")
def sized(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sized]:
    """A running service with items 0 to 9, and its device."""
    kind, subspaces, size = request.param
    folder = tmp_path_factory.mktemp("sized")
    bundle = make_tiny_bundle(folder / "bundle", train=partial(trained, kind, subspaces), sensitive=True)
    with EmbeddedService(Settings(data_dir=folder / "data", port=0, ivf_min_vectors=IVF_FROM), bundle) as running:
        key = running.engine.keys.add("test")
        service = Service(running.url, running.engine, Device.load(bundle), key)
        for number in range(ITEMS):
            assert service.add(number, title=f"Item {number}").status_code == 200
        yield Sized(service, size)


def trained(kind: str, subspaces: int, vectors: np.ndarray) -> Codec:
    return make_codec(vectors, vectors, CodecSettings(kind=kind, subspaces=subspaces, iterations=2), seed=1)


def stored_vectors(service: Service) -> dict[str, np.ndarray]:
    """Every item's vector as the catalogue holds it, by id."""
    with service.engine.store.feed().snapshot("default") as snapshot:
        (rows,) = snapshot.chunks
    items = service.engine.store.hydrate("default", rows.pks.tolist())
    return {items[pk].id: vector.astype(np.float32) for pk, vector in zip(rows.pks.tolist(), rows.vectors, strict=True)}


def test_an_item_is_found_by_another_view_of_it(sized: Sized) -> None:
    with sized.service.client() as client:
        answers = [client.search(picture(number, view=1)) for number in range(ITEMS)]
    for number, answer in enumerate(answers):
        assert (answer.outcome, answer.decided_by) == (Outcome.FOUND, "cloud")
        assert answer.matches[0].id == f"item/{number}" and answer.matches[0].metadata == {"title": f"Item {number}"}
        assert answer.code is not None and len(answer.code) == sized.size
        assert sized.size < answer.body_bytes_up <= sized.size + 64
        assert {len(match.code or b"") for match in answer.matches} == {sized.size}


def test_the_service_says_its_size(sized: Sized) -> None:
    with sized.service.http() as http:
        assert http.get("/v1/version").json()["code_bytes"] == sized.size


def test_the_rerank_on_the_device_brings_scores_closer_to_the_cosines(sized: Sized) -> None:
    vectors = stored_vectors(sized.service)
    sent, ranked = [], []
    with sized.service.client() as client:
        for number in range(ITEMS):
            frame = picture(number, view=2)
            query = sized.service.device.runtime.embed(to_tensor(frame, SIZE)[np.newaxis])[0]
            for errors, rerank in ((sent, False), (ranked, True)):
                matches = client.search(frame, options=Options(rerank=rerank)).matches
                assert len(matches) == ITEMS and matches[0].id == f"item/{number}"
                errors += [abs(match.score - float(vectors[match.id] @ query)) for match in matches]
    assert np.mean(ranked) < np.mean(sent)


def test_as_many_codes_as_fit_into_one_query_are_answered(sized: Sized) -> None:
    count = min(MAX_CODES, MAX_CODES_BYTES // sized.size)
    device = sized.service.device
    tensors = np.stack([to_tensor(picture(number % ITEMS), SIZE) for number in range(count)])
    codes = tuple(code.tobytes() for code in device.codec.encode(device.runtime.embed(tensors)))
    body = pack_query(Query(device.bundle.pairing.id, codes, b"12345678", k=50, gate_scores=(1.0,) * count))
    with sized.service.http() as http:
        answer = unpack_answer(http.post("/v1/search", content=body, headers=MSGPACK).content)
    asked = min(count, ITEMS)
    # Two codes of one picture found it equally well.
    found = {match.id: match.code_index % ITEMS for match in answer.matches[:asked]}
    assert found == {f"item/{number}": number for number in range(asked)}


def test_a_code_of_another_size_is_refused(sized: Sized) -> None:
    device, other = sized.service.device, 96 if sized.size == 64 else 64
    body = pack_query(Query(device.bundle.pairing.id, (bytes(other),), b"12345678"))
    with sized.service.http() as http:
        response = http.post("/v1/search", content=body, headers=MSGPACK)
    assert response.status_code == 400
    assert f"expected {sized.size} bytes each, got {other}" in msgpack.unpackb(response.content)["message"]


def test_a_removed_item_is_gone_and_the_large_index_finds_the_rest(sized: Sized) -> None:
    engine, rng = sized.service.engine, np.random.default_rng(0)
    vectors = rng.normal(size=(IVF_FROM, DIM)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    codes = engine.primary.codec.encode(vectors)
    filler = zip(vectors, codes, strict=True)
    own = engine.database.generation().pairing_id
    engine.store.add("default", [NewItem(f"f{i}", {own: Embedding(v, c.tobytes())}) for i, (v, c) in enumerate(filler)])
    # Here and not within the next request, whose time is limited; and as the service's background job does it.
    (indexes,) = engine.primary.indexes.shards
    indexes.catch_up()
    indexes.compact("default")
    with sized.service.http() as http:
        assert http.delete("/v1/items/item/0").status_code == 200
    assert engine.primary.indexes.stats()["default"]["kind"] == "ivf"
    with sized.service.client() as client:
        tops = [client.search(picture(number, view=1)).matches[0] for number in range(1, ITEMS)]
    assert [top.id for top in tops] == [f"item/{number}" for number in range(1, ITEMS)]
    assert {len(top.code or b"") for top in tops} == {sized.size}
