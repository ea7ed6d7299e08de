"""Evidence: each signal against its plain definition, and nothing is made of what is not there."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline_shared.evidence import CATEGORY_BONUS, NEIGHBOURS, SIGNALS, Evidence, compatibility, first_place, weigh

LABELS = ("Apple", "Milk", "Shoes")
PROBABILITIES = np.array([0.2, 0.5, 0.3], np.float32)

neighbours = st.lists(
    st.tuples(st.floats(-1, 1), st.sampled_from(["", "Apple", "Milk", "Tea"])), min_size=1, max_size=25
)


def slow(cosines: list[float], categories: list[str]) -> tuple[float | None, float | None]:
    """Margin and agreement, one neighbour after another."""
    mine, same, other, last = categories[0], 0, None, None
    count = 0
    for place in range(1, min(10, len(cosines))):
        if categories[place] == "":
            continue
        count += 1
        last = cosines[place]
        if categories[place] == mine:
            same += 1
        elif other is None:
            other = cosines[place]
    if mine == "" or count == 0:
        return None, None
    next_other = last if other is None else other
    assert next_other is not None
    return cosines[0] - next_other, same / count


@given(neighbours)
def test_margin_and_agreement_are_those_of_the_slow_count(rows: list[tuple[float, str]]) -> None:
    rows.sort(key=lambda row: -row[0])
    cosines, categories = [cosine for cosine, _ in rows], [name for _, name in rows]
    found = weigh(cosines, categories)
    margin, agreement = slow(cosines, categories)
    assert found.cosine == cosines[0]
    assert found.margin == (None if margin is None else pytest.approx(margin))
    assert found.agreement == (None if agreement is None else pytest.approx(agreement))
    assert found.gate is None and found.compatibility is None and found.category == ""


def test_what_lies_beyond_the_neighbours_does_not_count() -> None:
    cosines = [0.9 - 0.01 * place for place in range(NEIGHBOURS + 5)]
    ten = weigh(cosines[:NEIGHBOURS], ["Milk"] * NEIGHBOURS)
    assert weigh(cosines, ["Milk"] * NEIGHBOURS + ["Apple"] * 5) == ten
    assert ten.margin == pytest.approx(0.09) and ten.agreement == 1


def test_the_head_says_what_the_query_looks_like_and_how_well_the_nearest_fits() -> None:
    found = weigh([0.7, 0.6], ["Apple", "Milk"], gate=0.4, probabilities=PROBABILITIES, labels=LABELS)
    assert found.category == "Milk" and found.gate == 0.4
    assert found.compatibility == pytest.approx(0.4)
    assert compatibility("Milk", PROBABILITIES, LABELS) == 1


def test_a_category_that_the_head_does_not_know_says_nothing() -> None:
    found = weigh([0.7, 0.6], ["Furniture", ""], probabilities=PROBABILITIES, labels=LABELS)
    assert found.compatibility is None and found.margin is None and found.agreement is None


def test_every_signal_can_be_asked_for_by_name() -> None:
    whole = Evidence(0.5, 0.4, 0.3, 0.2, 0.1)
    assert [whole.signal(name) for name in SIGNALS] == [0.5, 0.4, 0.3, 0.2, 0.1]


def test_a_compatible_category_comes_first_unless_another_item_is_closer_by_more_than_the_bonus() -> None:
    for ahead, first in ((0.5 * CATEGORY_BONUS, 1), (0.7 * CATEGORY_BONUS, 0)):
        # Of the most probable category "Apple" has 0.4: it lacks 0.6 of the bonus.
        assert first_place([0.6 + ahead, 0.6], ["Apple", "Milk"], PROBABILITIES, LABELS) == first
    assert first_place([0.6, 0.6 - 0.01], ["Furniture", "Milk"], PROBABILITIES, LABELS) == 0, "not held against it"
    assert first_place([0.6, 0.7], ["Apple", "Milk"], None, LABELS) == 1


def test_evidence_of_a_first_match_that_is_not_the_nearest_is_its_own() -> None:
    cosines, categories = [0.9, 0.85, 0.6], ["Apple", "Milk", "Milk"]
    found = weigh(cosines, categories, first=1, probabilities=PROBABILITIES, labels=LABELS)
    assert found.cosine == 0.85 and found.compatibility == 1
    assert found.margin == pytest.approx(-0.05) and found.agreement == 0.5
