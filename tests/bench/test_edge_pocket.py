"""The pocket benchmark on a small scale: its figures are those of the thing that it measures."""

from pathlib import Path

import numpy as np
import pytest

from sightline_bench.edge import pocket
from sightline_bench.edge.pocket_items import shapes
from sightline_edge import Device
from sightline_edge.rerank import unit
from sightline_shared.bundle import Bundle


@pytest.fixture(scope="module")
def device(tiny: Bundle) -> Device:
    return Device.load(tiny)


def vectors(device: Device, count: int) -> np.ndarray:
    """Unit vectors that the codec knows well: what random codes stand for, and a little noise."""
    rng = np.random.default_rng(0)
    decoded = device.codec.decode(rng.integers(0, 256, (count, device.codec.code_size), np.uint8))
    return unit(unit(decoded) + rng.normal(0, 0.005, decoded.shape).astype(np.float32))


def test_the_same_seed_makes_the_same_shops_and_other_items_each() -> None:
    for name, shape in shapes().items():
        rows = [shape.make(number) for number in range(50)]
        again = shapes()[name]
        assert len({item_id for item_id, _ in rows}) == 50 and again.about == shape.about
    first = next(iter(shapes().values())).make(1)
    assert first == next(iter(shapes().values())).make(1) and set(first[1]) == {"title"}


def test_bytes_are_those_of_the_file(device: Device) -> None:
    found = {name: pocket.measure_bytes(shape, device, vectors(device, 300)) for name, shape in shapes().items()}
    assert all(each["code_bytes"] == 300 * 64 < each["bytes"] for each in found.values())
    assert all(each["bytes"] + each["left"] == 1_000_000 for each in found.values())
    assert found["numbers"]["bytes"] < found["skus"]["bytes"] < found["worst"]["bytes"]


def test_a_delta_costs_little_and_leads_to_the_same_as_the_whole_file(device: Device, tmp_path: Path) -> None:
    items = vectors(device, 400 + pocket.ADDED)
    synced, index = pocket.measure_sync(tmp_path, device, items, 400)
    assert synced["delta"]["equal_to_whole"] and synced["not_changed"] == {"bytes": 0, "apply_ms": 0.0}
    assert 80 * 64 < synced["delta"]["bytes"] < synced["whole"]["bytes"] / 2
    assert len(index) == 400, "as it was before the changes"
    timed = pocket.measure_search(index, items[:25])
    assert timed["all"]["n"] == timed["filtered"]["n"] == 25 and timed["all"]["p50"] > 0


def test_what_is_found_is_compared_with_the_truth(device: Device) -> None:
    items = vectors(device, 500)
    found = pocket.measure_found(device, items, items[:40])
    assert all(0.5 < each["value"] <= 1 for each in found["recall@10"].values())
    assert found["first"]["pocket as the service"]["value"] == 1.0, "each finds the item itself first"
    assert abs(found["score"]["pocket's best less its true cosine"]["value"]) < 0.02
