"""The table of text with the picture: on made-up vectors where the right figures are known."""

import json
from pathlib import Path

import numpy as np
import pytest
from support.tiny_tower import make_tiny_tower

from sightline_bench.packs import Photo
from sightline_bench.quality.embeddings import Embedded
from sightline_bench.quality.evaluate import _plain
from sightline_bench.quality.fusion import NOTHING, OTHER, OWN, _some, fusion, lines
from sightline_bench.quality.fusion_texts import BY_FAMILY, FAMILIES, IRRELEVANT, VARIANTS
from sightline_bench.quality.tasks import Suite, Task
from sightline_cloud.fusion.tower import TextTower
from sightline_edge import Device
from sightline_edge.quality import Quality
from sightline_shared.bundle import Bundle

PEPPERS = tuple(BY_FAMILY["Pepper"])


@pytest.fixture(scope="module")
def device(tiny: Bundle) -> Device:
    return Device.load(tiny)


def photo(name: str, fine: str) -> Photo:
    return Photo(Path(name), "test", "grocery", FAMILIES.get(fine, "Fig"), fine, "", "")


@pytest.fixture(scope="module")
def made(device: Device) -> tuple[Suite, dict[Path, Embedded]]:
    """One picture of each pepper, all nearly alike, and of other things; a photograph of each pepper is asked about, and
    all look most like the first."""
    rng = np.random.default_rng(0)
    dim = device.codec.dim
    base = rng.normal(size=dim)
    gallery = tuple(photo(f"g{name}", name) for name in (*PEPPERS, "Fig", "Plum", "Date"))
    asked = tuple(photo(f"q{name}", name) for name in PEPPERS)
    vectors = {one.path: base + 0.1 * rng.normal(size=dim) for one in gallery[: len(PEPPERS)]}
    vectors |= {one.path: rng.normal(size=dim) for one in gallery[len(PEPPERS) :]}
    vectors |= {one.path: vectors[gallery[0].path] for one in asked}
    embedded = {
        path: Embedded((vector / np.linalg.norm(vector)).astype(np.float32), None, Quality(1.0, 1.0))
        for path, vector in vectors.items()
    }
    return Suite("made", {"shelf": gallery}, (Task("t", "shelf", asked),), (), validation=asked[:2]), embedded


def test_the_words_bring_the_pepper_that_they_name_and_the_picture_alone_only_the_first(made, device) -> None:
    result = json.loads(json.dumps(_plain(fusion(*made, device, None))))
    ways = result["found"]["test, shelf"]
    assert {task: ways["the picture alone"][task]["value"] for task in (OWN, OTHER)} == {OWN: 0.25, OTHER: 0.25}
    words = ways["late, words 0.3, meaning 0"]
    assert (words[OWN]["value"], words[OTHER]["value"], words[OWN]["n"]) == (1.0, 1.0, 4)
    assert words[NOTHING]["value"] == 0.25
    sharing = result["by words"]["shelf"]["texts that share a word with the item"]
    assert (sharing["the picture alone"]["value"], sharing["late, words"]["value"]) == (0.25, 1.0)
    assert not any("early" in way or "meaning 0.2" in way for way in ways), "there is no tower"
    text = "\n".join(lines(result))
    assert "| test, shelf | 4 | the picture alone | 25.0 [" in text and "| validation, shelf | 2 |" in text


def test_with_a_tower_meaning_and_early_fusion_are_measured_too(made, device, tiny, tmp_path: Path) -> None:
    tower = TextTower(make_tiny_tower(tmp_path / "tower", tiny))
    result = json.loads(json.dumps(_plain(fusion(*made, device, tower))))
    ways = result["found"]["test, shelf"]
    assert {way.split(" ")[0] for way in ways} == {"the", "late,", "late", "early"}
    assert all(entry["n"] == 4 for row in ways.values() for entry in row.values())
    assert ways["early 0.6, these classes trained on"][OWN]["value"] >= ways["the picture alone"][OWN]["value"]
    assert result["cost"]["tower, a new text"]["value"] > 0 and lines(result)


def test_a_suite_without_variants_has_no_table(device) -> None:
    suite = Suite("none", {"g": ()}, (Task("t", "g", (photo("q", "Fig"),)),), ())
    assert fusion(suite, {}, device, None) == {} and lines({}) == []


def test_the_texts_are_one_a_variant_hardly_any_its_name_and_every_family_has_several() -> None:
    assert len(set(VARIANTS.values())) == len(VARIANTS)
    said = {name for name, text in VARIANTS.items() if name.replace("-", " ").lower() in text.lower()}
    assert said == {"Cantaloupe", "Anjou", "Conference", "Kaiser"}, "as the module says"
    assert all(len(texts) > 1 for texts in BY_FAMILY.values())
    assert not set(IRRELEVANT) & set(VARIANTS.values())


def test_queries_are_spread_over_all_that_there_are() -> None:
    many = [photo(f"{number}", PEPPERS[0]) for number in range(1201)] + [photo("x", "Fig")]
    chosen = _some(many)
    assert 400 <= len(chosen) <= 500 and {one.fine for one in chosen} == {PEPPERS[0]}
    assert int(chosen[-1].path.name) > 1190
