"""The tower in the service: vectors of texts, and what is refused before a query comes."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.tiny_tower import PIECES, encoder, make_tiny_tower, vectors

from sightline_cloud.fusion.tower import TextTower
from sightline_shared.bundle import Bundle
from sightline_shared.errors import BundleCorrupt, VersionMismatch


@pytest.fixture(scope="module")
def tower(tiny: Bundle, tmp_path_factory: pytest.TempPathFactory) -> TextTower:
    return TextTower(make_tiny_tower(tmp_path_factory.mktemp("towers") / "tower", tiny))


def test_a_texts_vector_is_the_mean_of_its_pieces_of_unit_length(tower: TextTower) -> None:
    rows = vectors()[[PIECES.index(piece) for piece in ("[CLS]", "green", "milk", "[SEP]")]]
    expected = rows.mean(axis=0) / np.linalg.norm(rows.mean(axis=0))
    np.testing.assert_allclose(tower.asked("Green MILK"), expected, atol=1e-6)


def test_a_modifier_lies_in_the_pictures_space_and_has_unit_length(tower: TextTower, tiny: Bundle) -> None:
    modifier = tower.modifier("this, in red")
    assert modifier.shape == (tiny.codec.dim,) and modifier.dtype == np.float32
    assert np.linalg.norm(modifier) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("text", ["", " \t", "\u200b\x07", "\u0301"])
def test_a_text_that_says_nothing_has_no_vector(tower: TextTower, text: str) -> None:
    assert tower.asked(text) is None and tower.modifier(text) is None


@settings(max_examples=60, deadline=None)
@given(st.text(min_size=1, max_size=256))
def test_any_text_has_a_finite_unit_vector_or_none(tower: TextTower, text: str) -> None:
    vector = tower.asked(text)
    assert vector is None or (np.isfinite(vector).all() and abs(np.linalg.norm(vector) - 1) < 1e-4)


def test_known_texts_are_not_read_again_and_no_more_are_kept_than_said(tower: TextTower) -> None:
    before = tower.asked.cache_info().hits
    assert tower.asked("green juice") is tower.asked("green juice")
    assert tower.asked.cache_info().hits == before + 1
    for number in range(300):
        tower.asked(f"milk {number}")
    assert tower.asked.cache_info().currsize == tower.asked.cache_info().maxsize == 256
    assert tower.of_item.cache_info().maxsize == 10_000, "queries do not push out what items say"


def test_a_vector_that_is_kept_cannot_be_changed(tower: TextTower) -> None:
    with pytest.raises(ValueError, match="read-only"):
        tower.asked("green")[0] = 3


def test_a_tower_of_another_bundle_is_refused_and_both_are_named(tiny: Bundle, tmp_path: Path) -> None:
    make_tiny_tower(tmp_path / "tower", tiny, pairing_id=b"other-id")
    with pytest.raises(VersionMismatch, match=f"{tiny.pairing.id.hex()}.*{b'other-id'.hex()}"):
        TextTower.open(tmp_path / "tower", {tiny.pairing.id: None})


@pytest.mark.parametrize("network", [b"no network", encoder(unit=False)], ids=["no model", "not of unit length"])
def test_an_encoder_that_is_none_is_refused_at_the_start(network: bytes, tiny: Bundle, tmp_path: Path) -> None:
    make_tiny_tower(tmp_path / "tower", tiny, network=network)
    with pytest.raises(BundleCorrupt, match="text tower"):
        TextTower.open(tmp_path / "tower", {tiny.pairing.id: None})
