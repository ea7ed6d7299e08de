"""Several tiers' answers become one, as sorting all that they say in the obvious way does."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sightline_cloud.index.merge import merge

# So few values and pks that equal cosines and pks that come twice are common.
COSINES = [-0.5, 0.0, 0.25, 0.5]
part_of_one_query = st.dictionaries(st.integers(0, 8), st.sampled_from(COSINES), max_size=6)


def padded(answer: dict[int, float], places: int) -> tuple[np.ndarray, np.ndarray]:
    """Return an answer as a tier gives it, best first, `(1, places)`."""
    best = sorted(answer.items(), key=lambda item: (-item[1], item[0]))
    cosines, pks = np.full((1, places), -np.inf, np.float32), np.full((1, places), -1, np.int64)
    for place, (pk, cosine) in enumerate(best):
        cosines[0, place], pks[0, place] = cosine, pk
    return cosines, pks


@given(st.lists(part_of_one_query, min_size=1, max_size=3), st.integers(1, 12))
def test_the_best_of_all_tiers_each_once_and_equals_by_pk(tiers: list[dict[int, float]], k: int) -> None:
    true: dict[int, float] = {}
    for tier in tiers:
        for pk, cosine in tier.items():
            true[pk] = max(cosine, true.get(pk, cosine))
    expected = padded(dict(sorted(true.items(), key=lambda item: (-item[1], item[0]))[:k]), k)
    found = merge([padded(tier, 6) for tier in tiers], k)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_every_query_of_a_batch_is_merged_on_its_own() -> None:
    one, other = padded({1: 0.5, 2: 0.25}, 2), padded({3: 0.5}, 2)
    both = [tuple(np.concatenate(rows) for rows in zip(one, other, strict=True)), (np.full((2, 2), -np.inf), np.full((2, 2), -1))]  # fmt: skip
    assert merge(both, 2)[1].tolist() == [[1, 2], [3, -1]]
