"""The heads: softmax and logistic against the slow formulas, and a file that comes back or is refused."""

import math

import msgpack
import numpy as np
import pytest

from sightline_shared.errors import BundleCorrupt, InputError
from sightline_shared.heads import Heads, Semantic, Sensitive

RNG = np.random.default_rng(0)
SEMANTIC = Semantic(("bread", "milk", "shoe"), RNG.normal(size=(3, 8)).astype(np.float32), np.ones(3, np.float32))
SENSITIVE = Sensitive(("xray",), RNG.normal(size=8).astype(np.float32), -0.5, 0.2, 0.7)
HEADS = Heads(SEMANTIC, SENSITIVE)
QUERIES = RNG.normal(size=(5, 8)).astype(np.float32)


def test_the_semantic_head_is_a_softmax() -> None:
    for query, shares in zip(QUERIES, SEMANTIC.probabilities(QUERIES), strict=True):
        powers = [math.exp(float(query @ row) + 1.0) for row in SEMANTIC.weight]
        np.testing.assert_allclose(shares, [power / sum(powers) for power in powers], rtol=1e-4)


def test_the_sensitive_head_is_a_logistic() -> None:
    slow = [1 / (1 + math.exp(-(float(query @ SENSITIVE.weight) - 0.5))) for query in QUERIES]
    np.testing.assert_allclose(SENSITIVE.scores(QUERIES), slow, rtol=1e-4)
    np.testing.assert_allclose([SENSITIVE.score(query) for query in QUERIES], slow, rtol=1e-4)
    assert SENSITIVE.score(SENSITIVE.weight * 1e6) == 1.0 and SENSITIVE.score(SENSITIVE.weight * -1e6) < 1e-20


@pytest.mark.parametrize("heads", [HEADS, Heads(SEMANTIC)])
def test_a_heads_file_comes_back(heads: Heads) -> None:
    read = Heads.from_bytes(heads.to_bytes())
    assert read.semantic.labels == SEMANTIC.labels and read.dim == 8
    np.testing.assert_array_equal(read.semantic.probabilities(QUERIES), SEMANTIC.probabilities(QUERIES))
    assert (read.sensitive is None) == (heads.sensitive is None)
    if read.sensitive is not None:
        np.testing.assert_array_equal(read.sensitive.scores(QUERIES), SENSITIVE.scores(QUERIES))
        assert (read.sensitive.kinds, read.sensitive.unsure_above) == (("xray",), 0.2)


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"dim": -1},
        {"labels": ["only one"]},
        {"labels": "abc"},
        {"labels": ["a", "b", "c" * 300]},
        {"weight": bytes(5)},
        {"weight": np.full(24, np.inf, "<f4").tobytes()},
        {"bias": b""},
        {"sensitive": 3},
        {"sensitive": {"kinds": []}},
    ],
)
def test_a_heads_file_with_a_wrong_field_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(BundleCorrupt):
        Heads.from_bytes(msgpack.packb({**msgpack.unpackb(HEADS.to_bytes()), **change}))


@pytest.mark.parametrize("change", [{"unsure_above": 0.9}, {"bias": float("nan")}, {"weight": b"1234"}, {"kinds": [3]}])
def test_a_sensitive_head_that_makes_no_sense_is_refused(change: dict[str, object]) -> None:
    fields = msgpack.unpackb(HEADS.to_bytes())
    fields["sensitive"].update(change)
    with pytest.raises(BundleCorrupt):
        Heads.from_bytes(msgpack.packb(fields))


def test_labels_and_weights_must_match() -> None:
    with pytest.raises(InputError, match="a row and a bias a label"):
        Semantic(("one",), np.zeros((2, 3), np.float32), np.zeros(2, np.float32))
