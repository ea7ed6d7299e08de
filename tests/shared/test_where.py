"""Filters: one form for what means the same, and a clear refusal of what cannot be asked."""

import pytest

from sightline_shared.errors import FilterInvalid
from sightline_shared.where import MAX_KEYS, MAX_VALUES, Where


def test_what_means_the_same_is_equal() -> None:
    assert Where.of({"b": ["y", "x", "x"], "a": 1.0}) == Where.of({"a": [1], "b": ["x", "y"]})
    assert hash(Where.of({"a": 1})) == hash(Where.of({"a": [1.0]}))


def test_truth_is_not_a_number() -> None:
    assert Where.of({"a": True}) != Where.of({"a": 1})
    assert len(Where.of({"a": [True, 1, "1"]}).terms[0][1]) == 3


def test_no_terms_let_everything_pass() -> None:
    assert not Where() and not Where.of({}) and Where.of({"a": "x"})


@pytest.mark.parametrize(
    "wanted",
    [
        {"a": []},
        {"a": ["x"] * (MAX_VALUES + 1)},
        {"": "x"},
        {"k" * 201: "x"},
        {"a": "x" * 201},
        {"a": float("nan")},
        {"a": [None]},
        {"a": [["x"]]},
        {"a": None},
        {"a": b"x"},
        {"a": {"x": 1}},
        {"a": 10**400},
        {"a": 2**64},
        {"a": "\ud800"},
        {"\ud800": "x"},
        {7: "x"},
        {f"k{number}": 1 for number in range(MAX_KEYS + 1)},
    ],
)
def test_what_cannot_be_asked_is_refused(wanted: dict) -> None:
    with pytest.raises(FilterInvalid, match="expected"):
        Where.of(wanted)


@pytest.mark.parametrize(
    ("metadata", "passes"),
    [
        ({"colour": "red", "size": 1, "new": True}, True),
        ({"colour": "blue", "size": 1.0, "new": True, "other": [1]}, True),
        ({"colour": "green", "size": 1, "new": True}, False),
        ({"colour": "red", "size": True, "new": True}, False),
        ({"colour": "red", "size": 1, "new": 1}, False),
        ({"colour": "red", "size": 1}, False),
        ({"colour": ["red"], "size": 1, "new": True}, False),
    ],
)
def test_what_passes_a_filter(metadata, passes: bool) -> None:
    assert Where.of({"colour": ["red", "blue"], "size": 1, "new": True}).passes(metadata) is passes
    assert Where().passes(metadata)
