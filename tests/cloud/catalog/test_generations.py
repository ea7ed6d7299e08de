"""Several bundles' vectors for the same items, side by side."""

import dataclasses

import numpy as np
import pytest
from support.catalogue import GENERATION, OTHER, embedding, new_item

from sightline_cloud.catalog.generations import Generation
from sightline_shared.errors import VersionMismatch

BOTH = (GENERATION, OTHER)


def test_an_item_has_a_vector_in_each_generation(opened) -> None:
    store = opened(*BOTH)
    item = new_item("a", generations=BOTH)
    store.add("t", [item])
    for generation in BOTH:
        rows = store.feed(generation.pairing_id).rows([1])
        assert rows.vectors.dtype == np.float16 and rows.vectors.shape == (1, generation.dim)
        vector, code = item.embeddings[generation.pairing_id]
        np.testing.assert_allclose(rows.vectors[0], vector, atol=1e-3)
        assert rows.codes[0].tobytes() == code == store.hydrate("t", [1], generation.pairing_id)[1].code
    assert store.hydrate("t", [1])[1].code == item.embeddings[GENERATION.pairing_id].code, "the first is the default"


def test_a_catalogue_opens_with_a_new_bundle_and_says_what_it_lacks(opened) -> None:
    opened().add("t", [new_item("a"), new_item("b")])
    store = opened(OTHER)
    assert [(c.pairing_id, c.label, c.dim, c.code_size, c.items, c.missing) for c in store.coverage()] == [
        (GENERATION.pairing_id, GENERATION.label, GENERATION.dim, GENERATION.code_size, 2, 0),
        (OTHER.pairing_id, OTHER.label, OTHER.dim, OTHER.code_size, 0, 2),
    ]
    assert store.hydrate("t", [1])[1].code == b"" and len(store.feed().rows([1, 2])) == 0
    assert store.feed().tenants() == {}
    store.add("t", [new_item("c", generations=(OTHER,))])
    assert {c.label: c.missing for c in store.coverage()} == {GENERATION.label: 1, OTHER.label: 2}


def test_backfilled_vectors_are_a_change_of_that_generation_alone(opened) -> None:
    opened().add("t", [new_item("a"), new_item("b")])
    store = opened(*BOTH)
    mine, other = store.feed(), store.feed(OTHER.pairing_id)
    own = {name: embedding(n, OTHER) for n, name in enumerate(("a", "b", "not there"))}
    assert store.add_vectors("t", OTHER.pairing_id, own) == 2
    assert store.add_vectors("t", OTHER.pairing_id, {"a": embedding(99, OTHER)}) == 0, "it has one, which stays"
    assert [(c.pk, c.op) for c in other.changes_since(2)] == [(1, "add"), (2, "add")]
    assert mine.changes_since(2) == [] and mine.position() == 4
    assert other.rows([1, 2]).codes[0].tobytes() == own["a"].code
    assert other.tenants() == {"t": 2} and [c.missing for c in store.coverage()] == [0, 0]
    store.remove("t", ["a"])
    assert [c.op for c in mine.changes_since(4)] == [c.op for c in other.changes_since(4)] == ["remove"]
    assert len(other.rows([1])) == 0


def test_another_tenants_item_gets_no_vector(opened) -> None:
    opened().add("one", [new_item("a")])
    store = opened(*BOTH)
    assert store.add_vectors("two", OTHER.pairing_id, {"a": embedding(1, OTHER)}) == 0


def test_a_bundle_of_the_same_name_and_another_size_is_refused(opened) -> None:
    opened()
    with pytest.raises(VersionMismatch, match="expected vectors of 256 numbers and codes of 64 bytes"):
        opened(dataclasses.replace(GENERATION, code_size=32))


def test_a_newer_label_of_the_same_vectors_is_taken_over(opened) -> None:
    opened()
    assert [c.label for c in opened(dataclasses.replace(GENERATION, label="renamed")).coverage()] == ["renamed"]


def test_a_generation_is_what_its_bundle_says(tiny) -> None:
    assert Generation.of(tiny) == Generation(tiny.pairing.id.hex(), tiny.label, tiny.codec.dim, tiny.codec.code_size)


def test_a_removed_item_is_gone_from_generations_that_are_not_live(opened) -> None:
    opened(*BOTH).add("t", [new_item("a", generations=BOTH)])
    opened().remove("t", ["a"])
    assert [c.items for c in opened(*BOTH).coverage()] == [0, 0]
