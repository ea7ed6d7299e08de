"""The diversity and near-duplicate tables: figures of hand-made photographs, worked out by hand."""

import json
from pathlib import Path

import numpy as np
import pytest

from sightline_bench.packs import Photo
from sightline_bench.quality import rank_cost
from sightline_bench.quality.diversity import DEFAULT, PLAIN, diversity, likeness, lines
from sightline_bench.quality.embeddings import Embedded
from sightline_bench.quality.evaluate import _plain
from sightline_bench.quality.measure import rank, sent
from sightline_bench.quality.staged import answered, search
from sightline_bench.quality.tasks import Suite, Task, packs_suite
from sightline_cloud.rank.build import STAGES
from sightline_cloud.rank.diversity import Diversity
from sightline_edge import Device
from sightline_edge.quality import Quality

SHARP = Quality(1.0, 1.0)
TWELVE = 12


@pytest.fixture(scope="module")
def device() -> Device:
    return Device.load()


@pytest.fixture(scope="module")
def seen(device: Device) -> np.ndarray:
    """Embeddings of `TWELVE` kinds of things, unlike each other, as the device makes them."""
    rng = np.random.default_rng(3)
    drawn = rng.integers(0, 255, (TWELVE, 1, 1, 3)) * (rng.random((TWELVE, 192, 192, 3)) < 0.7)
    return np.stack([device.runtime.embed(tensor[np.newaxis].astype(np.uint8))[0] for tensor in drawn])


def photo(name: str, domain: str, fine: str) -> Photo:
    return Photo(Path(name), "s", domain, fine, fine, "", "")


def nearly(vector: np.ndarray, seed: int) -> np.ndarray:
    moved = vector + 0.01 * np.random.default_rng(seed).normal(size=vector.shape).astype(np.float32)
    return moved / np.linalg.norm(moved)


@pytest.fixture(scope="module")
def made(device: Device, seen: np.ndarray) -> dict:
    """A gallery of twelve classes, of which the first has a copy; it is asked for the first and the second class."""
    gallery = tuple(photo(f"g{n}", "clothing" if n < 2 else "grocery", f"class {n}") for n in range(TWELVE))
    copy = photo("copy", "neardup", "blur")
    asked = (photo("q0", "clothing", "class 0"), photo("q1", "clothing", "class 1"))
    vectors = {**{one.path: seen[n] for n, one in enumerate(gallery)}, copy.path: nearly(seen[0], 1)}
    vectors |= {asked[0].path: nearly(seen[0], 2), asked[1].path: nearly(seen[1], 3)}
    embedded = {path: Embedded(vector, None, SHARP) for path, vector in vectors.items()}
    suite = Suite("made", {"g": gallery}, (Task("t", "g", asked),), (), copies=((gallery[0], copy),))
    return json.loads(json.dumps(_plain(diversity(suite, embedded, device))))


def test_without_a_stage_the_answer_is_the_exact_search(device: Device, seen: np.ndarray) -> None:
    queries, photos = sent(seen[:4], device), [photo("p", "grocery", "")] * TWELVE
    assert (answered(search(queries, photos, seen, device), device, ()) == rank(queries, seen, 10)).all()
    few = answered(search(queries, photos[:3], seen[:3], device), device, (Diversity(0.5),))
    assert (few[:, :3] >= 0).all() and (few[:, 3:] == -1).all()


def test_likeness_is_the_mean_over_all_pairs(seen: np.ndarray) -> None:
    three = seen[:3]
    by_hand = np.mean([three[0] @ three[1], three[0] @ three[2], three[1] @ three[2]])
    assert likeness(three) == pytest.approx(by_hand, abs=1e-5) and likeness(three[:1]) == 0


def test_each_variant_is_compared_with_the_plain_order(made: dict) -> None:
    table = made["ranking"]["t"]
    assert all(row["R@1"]["value"] == 1 and row["R@1"]["n"] == 2 for row in table.values())
    assert table[PLAIN]["R@5 gained"]["value"] == 0 and table[PLAIN]["classes"]["value"] == 10
    assert all(row["likeness"]["value"] <= table[PLAIN]["likeness"]["value"] + 1e-6 for row in table.values())


def test_a_copy_beside_its_original_is_counted_and_collapsed(made: dict) -> None:
    row = made["duplicates"]["0.97"]
    assert row["caught"] == {"value": 1.0, "interval": [1.0, 1.0], "n": 1, "data": ""}
    assert row["places lost before"]["value"] == 1 and row["places lost after"]["value"] == 0
    assert row["other class"]["n"] == TWELVE * (TWELVE - 1) // 2 and row["garments"]["n"] == 1


def test_both_tables_are_printed_with_their_sample_sizes(made: dict) -> None:
    text = "\n".join(lines(made))
    assert "| t | 2 | MMR 0.9 | 100.0 [100.0, 100.0] | 0.0 [0.0, 0.0] |" in text and DEFAULT in text
    assert "| 0.97 | 1 | 100.0 [100.0, 100.0] |" in text and "0 of 66" in text
    assert not any("near-duplicates from cosine" in line for line in lines({**made, "duplicates": {}}))


@pytest.mark.packs
def test_every_copy_of_the_pack_has_its_original(packs: Path) -> None:
    copies = packs_suite(packs).copies
    assert len(copies) == 120 and len({copy.path for _, copy in copies}) == 120
    assert all(one.split in ("train", "val") and one.domain == copy.coarse for one, copy in copies)


def test_the_cost_of_each_stage_is_a_median_over_queries(device: Device, seen: np.ndarray) -> None:
    gallery = tuple(photo(f"g{n}", "grocery", f"class {n}") for n in range(TWELVE))
    embedded = {one.path: Embedded(seen[n], None, SHARP) for n, one in enumerate(gallery)}
    suite = Suite("made", {"g": gallery}, (Task("t", "g", gallery[:5]),), ())
    cost = json.loads(json.dumps(_plain(rank_cost.rank_cost(suite, embedded, device))))
    assert list(cost) == ["30", "100"]
    row = cost["100"]
    assert list(row) == ["none", *STAGES, "default", "all"] and "text" in row
    assert all(entry["n"] == 5 and entry["value"] > 0 for entry in row.values())
    assert "\n".join(rank_cost.lines(cost)).count("| 5 | ") == 2
