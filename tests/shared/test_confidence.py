"""The decision file: what it says is what is computed, closer is never less probable, and nothing else is read."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline_shared.confidence import MAX_FILE_BYTES, Calibration, Logistic, Model, logit
from sightline_shared.errors import DecisionInvalid
from sightline_shared.evidence import SIGNALS, Evidence

RICH = Model(
    Logistic({"gate": 16.3, "cosine": 3.9}, -9.4),
    Logistic({"cosine": 6.3, "margin": 0.7, "compatibility": 2.8}, -7.0),
    found_min=0.5,
    not_found_below=0.01,
    domains={"": (0.9, 0.5), "clothing": (1.3, 0.8)},
)
PLAIN = Model(Logistic({"cosine": 12.0}, -6.0), Logistic({"cosine": 8.0}, -5.7), 0.6, 0.02)
CALIBRATION = Calibration((RICH, PLAIN), {"Shoes": "clothing"}, "a test")
WHOLE = Evidence(0.7, 0.6, 0.2, 0.9, 1.0, "Shoes")

shares = st.floats(0, 1)
evidence = st.builds(
    Evidence, st.floats(-1, 1), shares, st.floats(0, 2), shares, shares, st.sampled_from(["", "Shoes", "Apple"])
)


def changed(change: Any) -> bytes:
    """The file of CALIBRATION after `change(fields)`."""
    fields = json.loads(CALIBRATION.to_bytes())
    change(fields)
    return json.dumps(fields).encode()


def test_the_probability_is_the_product_of_both_chances_fitted_to_the_domain() -> None:
    belongs = 1 / (1 + math.exp(-(16.3 * 0.6 + 3.9 * 0.7 - 9.4)))
    first = 1 / (1 + math.exp(-(6.3 * 0.7 + 0.7 * 0.2 + 2.8 * 1.0 - 7.0)))
    odds = math.log(belongs * first / (1 - belongs * first))
    for domain, (scale, shift) in {"clothing": (1.3, 0.8), "grocery": (0.9, 0.5)}.items():
        expected = 1 / (1 + math.exp(-(scale * odds + shift)))
        assert RICH.probability(WHOLE, domain) == pytest.approx(expected)
    assert CALIBRATION.domain(WHOLE) == "clothing"


@given(evidence, st.sampled_from(SIGNALS), st.floats(0, 1), st.sampled_from(["", "clothing"]))
def test_more_of_any_signal_is_never_less_probable(one: Evidence, name: str, more: float, domain: str) -> None:
    value = one.signal(name)
    assert value is not None
    better = Evidence(**{**vars(one), name: value + more})
    for model in CALIBRATION.models:
        assert 0 <= model.probability(one, domain) <= model.probability(better, domain) <= 1


def test_the_first_model_whose_signals_are_all_there_answers() -> None:
    assert CALIBRATION.model(WHOLE) is CALIBRATION.models[0]
    for missing in ("gate", "margin", "compatibility"):
        assert CALIBRATION.model(Evidence(**{**vars(WHOLE), missing: None})) is CALIBRATION.models[1]
    assert CALIBRATION.model(Evidence(**{**vars(WHOLE), "agreement": None})) is CALIBRATION.models[0]
    assert Calibration((RICH,)).model(Evidence(0.9)) is None


def test_a_file_reads_back_as_it_was_and_equal_ones_are_equal_bytes() -> None:
    data = CALIBRATION.to_bytes()
    assert Calibration.from_bytes(data, "f") == CALIBRATION
    assert Calibration.from_bytes(data, "f").to_bytes() == data


def test_chances_of_nothing_and_of_everything_have_finite_odds() -> None:
    assert math.isfinite(logit(0.0)) and math.isfinite(logit(1.0)) and logit(0.5) == 0
    assert 0 < RICH.probability(Evidence(-1.0, 0.0, 0.0, 0.0, 0.0), "") < 1e-3


def models(fields: dict[str, Any]) -> dict[str, Any]:
    first: dict[str, Any] = fields["models"][0]
    return first


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b"", "JSON"),
        (b"{", "JSON"),
        (b"\xff\xfe", "JSON"),
        (b"[" * 100_000, "JSON"),
        (b"[]", "a map with"),
        (b"null", "a map with"),
        (b"1" * 5000, "JSON"),
        (b" " * (MAX_FILE_BYTES + 1), "bytes"),
        (changed(lambda f: f.update(format=2)), "format 1"),
        (changed(lambda f: f.update(more=1)), "a map with"),
        (changed(lambda f: f.pop("models")), "a map with"),
        (changed(lambda f: f.update(models=[])), "models: expected a list of 1 to"),
        (changed(lambda f: f.update(models=[models(f)] * 17)), "models: expected a list of 1 to"),
        (changed(lambda f: f.update(models={"0": models(f)})), "models: expected a list of 1 to"),
        (changed(lambda f: f.update(made_of=7)), "made_of"),
        (changed(lambda f: f.update(made_of="x" * 201)), "made_of"),
        (changed(lambda f: f.update(domain_of={"Shoes": 1})), "domain_of, Shoes"),
        (changed(lambda f: f.update(domain_of={"x" * 201: "y"})), "domain_of"),
        (changed(lambda f: f.update(domain_of={str(n): "" for n in range(10_001)})), "domain_of"),
        (changed(lambda f: models(f).update(found_min=1.5)), r"models\[0\], found_min"),
        (changed(lambda f: models(f).update(found_min=True)), "found_min"),
        (changed(lambda f: models(f).update(found_min=math.nan)), "found_min"),
        (changed(lambda f: models(f).update(not_found_below=0.7)), "not_found_below <= found_min"),
        (changed(lambda f: models(f)["first"].update(bias=math.inf)), "first, bias"),
        (changed(lambda f: models(f)["first"].update(bias="0")), "first, bias"),
        (changed(lambda f: models(f)["first"].update(bias=10**400)), "first, bias"),
        (changed(lambda f: models(f)["first"].update(weights=[1])), "first, weights"),
        (changed(lambda f: models(f)["first"].update(weights={"price": 1.0})), "first, weights: expected signals"),
        (changed(lambda f: models(f)["belongs"].update(weights={"gate": -1.0})), "belongs, weights, gate"),
        (changed(lambda f: models(f).update(domains={"": [1.0]})), "domains"),
        (changed(lambda f: models(f).update(domains={"": [-1.0, 0.0]})), "domains"),
        (changed(lambda f: models(f).update(domains={"": "ab"})), "domains"),
    ],
)
def test_a_file_that_says_anything_else_is_refused_by_name(data: bytes, named: str) -> None:
    with pytest.raises(DecisionInvalid, match=named) as refused:
        Calibration.from_bytes(data, "tenant.json")
    assert refused.value.message.startswith("tenant.json") and len(refused.value.message) < 600


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5), lambda inner: (
    st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["format", "made_of", "models", "domain_of", "belongs", "first", "bias"]), inner)
), max_leaves=12))  # fmt: skip
def test_any_json_is_read_or_refused_and_nothing_else(value: Any) -> None:
    with pytest.raises(DecisionInvalid):
        Calibration.from_bytes(json.dumps(value).encode(), "f")
