"""Whatever one of several shards answers, the search over all of them is sound: the others' items are in it, and no nonsense."""

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from support.faulty_shards import FaultyShards, exact_shards

from sightline_cloud.shards.gather import Gather
from sightline_cloud.shards.local import LocalShardPool
from sightline_cloud.shards.pool import MAX_COSINE, Ask, Found, fault
from sightline_shared.budget import Budget
from sightline_shared.errors import ShardsMissing
from sightline_shared.where import Where

K, ROWS = 4, 2
RNG = np.random.default_rng(5)
VECTORS = RNG.normal(size=(60, 8)).astype(np.float32)
VECTORS /= np.linalg.norm(VECTORS, axis=1, keepdims=True)
HONEST = set(np.concatenate([shard.pks for shard in exact_shards(VECTORS, 3)[1:]]).tolist())

shapes = st.sampled_from(
    [(ROWS, K), (ROWS, K), (ROWS, K), (1, K), (0, K), (ROWS, K + 1), (ROWS, 0), (3, K), (K,), (), (1, ROWS, K)]
)
right = arrays.arrays(np.float32, (ROWS, K), elements=st.floats(-1, 1, width=32))
cosines = right | shapes.flatmap(
    lambda shape: (
        arrays.arrays(np.float32, shape) | arrays.arrays(st.sampled_from([np.float64, np.int64, np.bool_]), shape)
    )
)
pks = arrays.arrays(np.int64, (ROWS, K), elements=st.integers(-1, 100)) | shapes.flatmap(
    lambda shape: (
        arrays.arrays(np.int64, shape) | arrays.arrays(st.sampled_from([np.int32, np.uint64, np.float32]), shape)
    )
)
answers = st.builds(Found, cosines, pks) | st.sampled_from([None, 1, "text", (1, 2), Found(None, None), Found([], [])])  # type: ignore[arg-type]


def asked() -> Ask:
    return Ask("shop", VECTORS[:ROWS], K, Where(), Budget(20_000))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(said=answers)
def test_whatever_one_shard_says_the_others_are_heard_and_what_comes_out_is_sound(said: Any) -> None:
    pool = FaultyShards(LocalShardPool([[shard] for shard in exact_shards(VECTORS, 3)], threads=1))
    pool.faults = {0: lambda found: said}
    ask = asked()
    got = Gather(pool, min_share=0.5).search(ask)
    pool.close()
    assert got.pks.dtype == np.int64 and got.cosines.dtype == np.float32
    assert got.cosines.shape == got.pks.shape and got.pks.shape[1] == K and len(got.pks) == ROWS
    there = got.pks >= 0
    assert (np.abs(got.cosines[there]) <= MAX_COSINE).all() and np.isneginf(got.cosines[~there]).all()
    assert (got.pks >= -1).all() and not np.isnan(got.cosines).any()
    assert (np.diff(np.nan_to_num(got.cosines, neginf=-9), axis=1) <= 0).all()
    true = without_the_liar(ask)
    if got.missing:
        assert fault(said, ask) is not None
        np.testing.assert_array_equal(got.pks, true)
    else:
        for row, best in enumerate(
            true
        ):  # all that the others found is there, at the latest behind what the liar named
            assert set(best.tolist()) <= set(got.whole[1][row].tolist())


def without_the_liar(ask: Ask) -> np.ndarray:
    rows = np.array(sorted(HONEST))
    order = np.argsort(-(ask.queries @ VECTORS[rows].T), axis=1, kind="stable")[:, : ask.k]
    return rows[order]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(said=answers)
def test_when_all_say_it_there_is_an_answer_that_is_sound_or_none(said: Any) -> None:
    pool = FaultyShards(LocalShardPool([[shard] for shard in exact_shards(VECTORS, 2)], threads=1))
    pool.faults = dict.fromkeys(range(2), lambda found: said)
    if fault(said, asked()):
        with pytest.raises(ShardsMissing, match="got 0"):
            Gather(pool, min_share=0.01).search(asked())
    else:
        assert Gather(pool, min_share=1).search(asked()).missing == ()
    pool.close()
