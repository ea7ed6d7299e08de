"""The decision's models come from held-out photographs, of both styles of catalogue, and from strangers that only validate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sightline_edge.gate import Gate
from sightline_edge.ood import OodScore
from sightline_export.data import Photo, PhotoSet
from sightline_export.decision_models import BARE, ask_everything, fit_decision
from sightline_shared.confidence import Calibration
from sightline_shared.heads import Heads, Semantic

DIM, ITEMS = 32, 20
RNG = np.random.default_rng(0)
CENTRES = RNG.standard_normal((ITEMS, DIM))
STUDIO = 0.7 * RNG.standard_normal(DIM)  # studio pictures lie apart from photographs, all in the same direction


def made(outside: tuple[str, ...] = ("val", "test")) -> tuple[PhotoSet, np.ndarray]:
    """Twenty items of four categories: photographs for training and validation, a studio picture each, and strangers."""
    rng = np.random.default_rng(1)
    photos, vectors = [], []
    for item in range(ITEMS):
        for role, count, studio in (("train", 6, False), ("val", 8, False), ("studio", 1, True)):
            for number in range(count):
                path = Path(f"{role}-{item}-{number}.png")
                coarse = f"kind {item % 4}"
                photos.append(Photo(path, "shop", "catalogue", role, coarse, f"item {item}", "", True, studio))
                vectors.append(CENTRES[item] + 0.7 * rng.standard_normal(DIM) + (STUDIO if studio else 0))
    for role in outside:
        for number in range(60):
            photos.append(Photo(Path(f"o-{role}-{number}.png"), "things", "outside", role, "", "cat", "", False))
            vectors.append(1.3 * rng.standard_normal(DIM))
    stacked = np.stack(vectors)
    stacked /= np.linalg.norm(stacked, axis=1, keepdims=True)
    return PhotoSet(photos, [], np.empty((0, 1, 1, 3), np.uint8), []), stacked.astype(np.float32)


def parts(photos: PhotoSet, vectors: np.ndarray) -> tuple[Gate, Heads]:
    train = photos.where(role="train")
    gate = Gate(OodScore("cosine", vectors[train], np.zeros(len(train), np.float32)), 0.3, 0.5, 0, 0, 255)
    labels = tuple(f"kind {number}" for number in range(4))
    means = np.stack([vectors[[r for r in train if photos.photos[r].coarse == name]].mean(axis=0) for name in labels])
    return gate, Heads(Semantic(labels, (20 * means).astype(np.float32), np.zeros(4, np.float32)))


@pytest.fixture(scope="module")
def asked() -> tuple[PhotoSet, list, Calibration, dict]:
    photos, vectors = made()
    gate, heads = parts(photos, vectors)
    examples = ask_everything(photos, vectors, vectors, gate, heads, 1)
    calibration, found = fit_decision(photos, vectors, vectors, gate, heads, 1, "made 1")
    assert calibration is not None
    return photos, examples, calibration, found


def test_every_held_out_photograph_asks_both_catalogues_with_and_without_its_class(asked) -> None:
    photos, examples, _, _ = asked
    held, strangers = len(photos.where(role="val", kind="catalogue")), len(photos.where(role="val", kind="outside"))
    for style in ("photographs", "packshots", f"photographs{BARE}", f"packshots{BARE}"):
        counts = {kind: sum(e.style == style and e.kind == kind for e in examples) for kind in ("known", "near", "far")}
        assert counts == {"known": held, "near": held, "far": strangers}, "the test part of the strangers only measures"
    assert not any(example.right for example in examples if example.kind != "known")
    known = [example for example in examples if example.kind == "known" and example.style == "photographs"]
    assert np.mean([example.right for example in known]) > 0.8


def test_what_was_taken_out_of_the_catalogue_is_not_found_in_it(asked) -> None:
    _, examples, _, _ = asked
    cosine = {
        kind: np.mean([e.evidence.cosine for e in examples if e.kind == kind and e.style == "photographs"])
        for kind in ("known", "near")
    }
    assert cosine["known"] > cosine["near"] + 0.2


def test_without_categories_there_is_neither_margin_nor_compatibility(asked) -> None:
    _, examples, _, _ = asked
    bare = [example.evidence for example in examples if example.style.endswith(BARE)]
    assert all(one.compatibility is None and one.margin is None for one in bare)
    assert all(one.gate is not None and 0 <= one.gate <= 1 for one in bare)


def test_few_that_the_catalogue_holds_are_denied_and_the_figures_say_so(asked) -> None:
    _, _, calibration, found = asked
    assert len(calibration.models) == 4 and calibration.made_of == "made 1"
    assert calibration.domain_of == {f"kind {number}": "shop" for number in range(4)}
    for style in ("photographs", "packshots", f"photographs{BARE}", f"packshots{BARE}"):
        assert found[f"decision.denied.known.{style}.shop"].value <= 0.03
        assert found[f"decision.found.far.{style}.outside"].value <= 0.07
        assert found[f"decision.denied.far.{style}.outside"].value > found[f"decision.denied.known.{style}.shop"].value
    assert Calibration.from_bytes(calibration.to_bytes(), "f").models[0].found_min == pytest.approx(
        calibration.models[0].found_min, abs=1e-6
    )


def test_without_strangers_a_bundle_has_no_models() -> None:
    photos, vectors = made(outside=())
    gate, heads = parts(photos, vectors)
    assert fit_decision(photos, vectors, vectors, gate, heads, 1, "made 1") == (None, {})
