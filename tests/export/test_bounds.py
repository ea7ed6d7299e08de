"""Exact bounds of a share, against sums over binomials with whole numbers."""

import math
from fractions import Fraction

import numpy as np
import pytest

from sightline_export.bounds import lower_bound, share_figure, upper_bound


def at_most(hits: int, n: int, share: Fraction) -> float:
    return float(sum(math.comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(hits + 1)))


@pytest.mark.parametrize(("hits", "n"), [(0, 20), (1, 20), (3, 60), (17, 20), (5, 296)])
def test_at_the_bound_so_few_have_the_stated_chance(hits: int, n: int) -> None:
    assert at_most(hits, n, Fraction(upper_bound(hits, n))) == pytest.approx(0.05, abs=1e-6)
    assert at_most(hits, n, Fraction(upper_bound(hits, n, 0.99))) == pytest.approx(0.01, abs=1e-6)
    low = lower_bound(hits, n)
    more = 1 - at_most(hits - 1, n, Fraction(low)) if hits else 0.05
    assert more == pytest.approx(0.05, abs=1e-6)


def test_nothing_seen_says_nothing_and_the_rule_of_three_holds() -> None:
    assert upper_bound(0, 0) == 1.0 and upper_bound(5, 5) == 1.0 and lower_bound(0, 9) == pytest.approx(0, abs=1e-9)
    assert upper_bound(0, 300) == pytest.approx(3 / 300, rel=0.01)


def test_a_share_of_none_has_an_interval_that_is_not_nothing() -> None:
    figure = share_figure(np.zeros(59, dtype=bool), "x")
    assert figure.value == 0 and figure.n == 59 and figure.interval is not None
    assert figure.interval[0] == pytest.approx(0, abs=1e-9) and 0.05 < figure.interval[1] < 0.07
    assert math.isnan(share_figure(np.zeros(0, dtype=bool), "x").value)
