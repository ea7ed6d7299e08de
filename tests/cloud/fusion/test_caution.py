"""A text makes the decision more careful, never less: over every pair of verdicts."""

from itertools import product

import pytest

from sightline_cloud.fusion.caution import UNLIKE, careful
from sightline_shared.protocol import Decision
from sightline_shared.verdict import Verdict

KINDS = (Decision.FOUND, Decision.UNSURE, Decision.NOT_FOUND)


def verdict(decision: Decision, probability: float | None = None) -> Verdict:
    return Verdict(decision, probability, "", (decision.label,))


@pytest.mark.parametrize(("pictured", "chosen"), list(product(KINDS, KINDS)), ids=str)
def test_not_found_by_the_picture_stays_so_and_found_needs_both(pictured: Decision, chosen: Decision) -> None:
    got = careful(verdict(pictured), verdict(chosen)).decision
    assert (got is Decision.NOT_FOUND) == (pictured is Decision.NOT_FOUND)
    assert (got is Decision.FOUND) == (pictured is chosen is Decision.FOUND)


def test_the_smaller_probability_counts_and_the_reason_is_the_worse_ones() -> None:
    got = careful(verdict(Decision.FOUND, 0.9), verdict(Decision.UNSURE, 0.4))
    assert (got.probability, got.reasons) == (0.4, ("unsure",))
    assert careful(verdict(Decision.UNSURE, 0.5), verdict(Decision.FOUND, 0.9)).probability == 0.5
    assert careful(verdict(Decision.FOUND), verdict(Decision.FOUND, 0.9)).probability == 0.9


def test_what_is_little_like_the_picture_is_unsure_and_says_why() -> None:
    got = careful(verdict(Decision.FOUND, 0.9), verdict(Decision.NOT_FOUND, 0.01))
    assert (got.decision, got.reasons, got.probability) == (Decision.UNSURE, (UNLIKE,), 0.01)
