"""The shipped policy and bundle on the packs' real photographs, as the service sees them: through their codes.

The head learned from the sensitive photographs, so what is asserted of them is resubstitution; `sightline bench quality`
reports new subjects apart.
"""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from sightline_bench.packs import Photo, read_pack, select
from sightline_cloud.nearest import decoded
from sightline_cloud.policy.read import shipped_policy
from sightline_cloud.policy.router import PolicyRouter, Route
from sightline_edge import Device
from sightline_shared.preprocess import load_image, to_tensor
from sightline_shared.protocol import Query

pytestmark = pytest.mark.packs


@pytest.fixture(scope="module")
def device() -> Device:
    return Device.load()


@pytest.fixture(scope="module")
def shop(packs: Path) -> list[Photo]:
    return read_pack(packs / "shopfloor" / "manifest.csv")


def routes(device: Device, photos: list[Photo]) -> list[Route]:
    """Return the route of each photograph's code."""
    router = PolicyRouter(shipped_policy())
    live = SimpleNamespace(bundle=device.bundle, codec=device.bundle.codec)
    found = []
    for photo in photos:
        tensor = to_tensor(load_image(photo.path), device.bundle.manifest.input_size)
        code = device.codec.encode(device.runtime.embed(tensor[np.newaxis]))[0].tobytes()
        query = Query(device.bundle.pairing.id, (code,), b"12345678")
        found.append(router.route(live, decoded(query, live)))
    assert router.stats()["failed"] == 0
    return found


def test_no_sensitive_photograph_of_the_kinds_it_knows_is_answered_like_a_product(device, shop) -> None:
    photos = select(shop, split="sensitive")
    by_kind: dict[str, list[bool]] = {}
    for photo, route in zip(photos, routes(device, photos), strict=True):
        by_kind.setdefault(photo.coarse, []).append(route.restricted)
        assert route.classes in ((), ("medical",))
    assert {kind: len(all_) for kind, all_ in by_kind.items()} == {"dermoscopy": 49, "microscopy": 182, "xray": 89}
    assert {kind: sum(hit) for kind, hit in by_kind.items()} == {"dermoscopy": 49, "microscopy": 182, "xray": 89}


@pytest.mark.parametrize(("domain", "step", "most"), [("grocery", 10, 1), ("clothing", 4, 4)])
def test_shop_photographs_are_hardly_ever_taken_for_one(device, shop, domain: str, step: int, most: int) -> None:
    photos = select(shop, split="test", domain=domain)[::step]
    taken = [photo.path.name for photo, route in zip(photos, routes(device, photos), strict=True) if route.restricted]
    assert len(photos) > 90 and len(taken) <= most
