"""What arrived by the deadline is answered, what is missing is named, and nothing is found twice."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import faulty_shards as faults
from support.faulty_shards import exact_shards

from sightline_cloud.shards.gather import Gather, ShardStatus, merged
from sightline_cloud.shards.load import MIN_RECENT
from sightline_cloud.shards.local import LocalShardPool
from sightline_cloud.shards.pool import Found
from sightline_shared.errors import ConfigInvalid, FilterInvalid, IndexFailed, ShardsMissing


def whole(vectors, asked):
    """What one exact index over everything finds."""
    return exact_shards(vectors, 1)[0].search("shop", asked.queries, asked.k)


def without(vectors, shard: int, of: int, asked):
    """What the other shards together find."""
    rest = [each for number, each in enumerate(exact_shards(vectors, of)) if number != shard]
    together = faults.ExactShard(np.concatenate([each.pks for each in rest]), np.concatenate([r.vectors for r in rest]))
    return together.search("shop", asked.queries, asked.k)


@pytest.mark.parametrize("shards", [1, 2, 3, 7, 64])
@pytest.mark.parametrize("replicas", [1, 2])
@pytest.mark.parametrize("k", [1, 10, 50])
def test_shards_together_find_what_one_index_finds(vectors, ask, shards: int, replicas: int, k: int) -> None:
    pool = LocalShardPool([[shard] * replicas for shard in exact_shards(vectors, shards)], threads=1)
    asked = ask(k=k)
    gathered = Gather(pool, min_share=1).search(asked)
    cosines, pks = whole(vectors, asked)
    np.testing.assert_array_equal(gathered.pks, pks)
    np.testing.assert_allclose(gathered.cosines, cosines, atol=1e-6)
    assert gathered.searched == 3 and gathered.missing == () and len(gathered.shards) == shards
    pool.close()


def test_places_without_an_item_are_filled_and_come_last(ask) -> None:
    few = np.eye(8, dtype=np.float32)[:5]
    pool = LocalShardPool([[shard] for shard in exact_shards(few, 3)], threads=1)
    gathered = Gather(pool, min_share=1).search(ask(k=8))
    assert (np.sort(gathered.pks[:, :5]) == np.arange(5)).all()
    assert (gathered.pks[:, 5:] == -1).all() and np.isneginf(gathered.cosines[:, 5:]).all()
    pool.close()


@pytest.mark.parametrize("fault", [faults.down, faults.late, faults.misshapen])
def test_a_shard_that_gives_nothing_is_named_and_the_others_answer(faulty, vectors, ask, fault) -> None:
    pool = faulty(4)
    pool.faults[2] = fault
    gather, asked = Gather(pool, min_share=0.75), ask(deadline_ms=60 if fault is faults.late else 10_000)
    gathered = gather.search(asked)
    np.testing.assert_array_equal(gathered.pks, without(vectors, 2, 4, asked)[1])
    (missing,) = gathered.missing
    assert (missing.shard, missing.state) == (2, "late" if fault is faults.late else "failed")
    assert bool(missing.why) == (fault is not faults.late)
    assert gather.stats()[2][missing.state] == 1


def test_a_shard_that_cannot_even_be_asked_has_failed(faulty, ask) -> None:
    pool = faulty(2)
    pool.unreachable.add(0)
    gathered = Gather(pool, min_share=0.5).search(ask())
    assert gathered.missing == (ShardStatus(0, "failed", "ConnectionError: no way to shard 0"),)


def test_the_answer_is_there_before_the_deadline_with_time_to_finish(faulty, ask) -> None:
    pool = faulty(2)
    pool.faults[0] = faults.late
    asked = ask(deadline_ms=2000)
    Gather(pool, min_share=0.5).search(asked)
    assert 0 < asked.budget.left_ms <= 201
    assert all(future.cancelled() for future in pool.hanging)


def test_below_the_configured_share_of_shards_there_is_no_answer_and_the_error_names_the_missing(faulty, ask) -> None:
    pool = faulty(4)
    pool.faults |= {1: faults.down, 3: faults.late}
    assert len(Gather(pool, min_share=0.5).search(ask(deadline_ms=60)).missing) == 2
    with pytest.raises(ShardsMissing, match=r"at least 3 of 4 shards, got 2 \(1 failed, 3 late\)"):
        Gather(pool, min_share=0.51).search(ask(deadline_ms=60))


def test_with_every_shard_down_there_is_no_answer_however_low_the_share(faulty, ask) -> None:
    pool = faulty(3)
    pool.faults |= dict.fromkeys(range(3), faults.down)
    with pytest.raises(ShardsMissing, match="at least 1 of 3 shards, got 0"):
        Gather(pool, min_share=0.01).search(ask())


@pytest.mark.parametrize("share", [0, -1, 1.01])
def test_a_share_that_means_nothing_is_refused(faulty, share: float) -> None:
    with pytest.raises(ConfigInvalid, match="min_shards: expected a share"):
        Gather(faulty(1), min_share=share)


def test_a_shard_in_the_wrong_order_changes_nothing(faulty, vectors, ask) -> None:
    pool = faulty(3)
    pool.faults[1] = faults.shuffled
    np.testing.assert_array_equal(Gather(pool, min_share=1).search(ask()).pks, whole(vectors, ask())[1])


def test_a_shard_that_repeats_itself_is_heard_once(faulty, ask) -> None:
    pool = faulty(3)
    pool.faults |= dict.fromkeys(range(3), faults.doubled)
    gathered = Gather(pool, min_share=1).search(ask())
    for cosines, pks in zip(gathered.cosines, gathered.pks, strict=True):
        there = pks[pks >= 0]
        assert len(there) == len(set(there.tolist())) == 10
        assert (np.diff(cosines) <= 0).all()


def test_a_shard_that_got_through_fewer_queries_counts_with_those_it_did(faulty, vectors, ask) -> None:
    pool, asked = faulty(3), ask()
    pool.faults[0] = faults.first_query_only
    gathered = Gather(pool, min_share=1).search(asked)
    assert gathered.searched == 1 and gathered.missing == ()
    np.testing.assert_array_equal(gathered.pks[0], whole(vectors, asked)[1][0])
    np.testing.assert_array_equal(gathered.pks[1:], without(vectors, 0, 3, asked)[1][1:])


def test_a_query_that_is_wrong_is_the_callers_error_and_not_a_missing_shard(faulty, ask) -> None:
    def refuse(found: Found) -> Found:
        raise FilterInvalid("where: expected a key that is kept.")

    pool = faulty(3, replicas=2)
    pool.faults |= dict.fromkeys(range(3), refuse)
    with pytest.raises(FilterInvalid):
        Gather(pool, min_share=0.1).search(ask())
    assert len(pool.asked) == 3  # no second replica was bothered


def test_a_single_shard_is_searched_in_the_callers_thread_and_its_error_is_its_own(faulty, ask) -> None:
    pool = faulty(1)
    gather = Gather(pool, min_share=1)
    pool.submit = None  # type: ignore[method-assign]  # nothing is submitted
    assert gather.search(ask()).shards == (ShardStatus(0, "answered"),)
    pool.faults[0] = faults.down
    with pytest.raises(IndexFailed, match="this shard is down"):
        gather.search(ask())


@pytest.mark.parametrize("broken", [0, 1])
def test_when_a_replica_fails_the_other_answers(faulty, vectors, ask, broken: int) -> None:
    pool = faulty(2, replicas=2)
    pool.faults[0], pool.only[0] = faults.down, broken
    gather = Gather(pool, min_share=1)
    for _ in range(20):  # which replica is asked first is drawn
        gathered = gather.search(ask())
        np.testing.assert_array_equal(gathered.pks, whole(vectors, ask())[1])
        assert gathered.missing == ()
    assert (0, broken) in pool.asked


def test_when_a_replica_is_later_than_usual_the_other_is_asked_and_the_late_one_is_dropped(
    faulty, vectors, ask
) -> None:
    pool = faulty(2, replicas=2)
    gather = Gather(pool, min_share=1)
    for _ in range(2 * MIN_RECENT + 40):  # until it is known what is usual
        gather.search(ask())
    pool.faults[0], pool.only[0] = faults.late, 1
    for _ in range(200):  # which replica is asked first is drawn
        asked = ask(deadline_ms=20_000)
        gathered = gather.search(asked)
        np.testing.assert_array_equal(gathered.pks, whole(vectors, asked)[1])
        assert gathered.missing == ()
        if pool.hanging:
            break
    assert len(pool.hanging) == 1 and pool.hanging[0].cancelled()
    assert asked.budget.spent_ms < 10_000, "the deadline was waited for"
    stats = gather.stats()
    assert stats[0]["hedged"] == 1 and stats[1]["hedged"] == 0
    assert stats[0]["open"] == stats[1]["open"] == 0


def test_before_it_is_known_what_is_usual_nobody_is_asked_twice(faulty, ask) -> None:
    pool = faulty(1, replicas=2)
    pool.faults[0] = faults.late
    with pytest.raises(ShardsMissing):
        Gather(pool, min_share=1).search(ask(deadline_ms=60))
    assert len(pool.asked) == 1


def test_an_answer_that_comes_after_its_hedge_is_not_heard(faulty, vectors, ask) -> None:
    """The loser's future ends while the search still waits for another shard."""
    pool = faulty(2, replicas=2)
    gather = Gather(pool, min_share=0.5)
    for _ in range(2 * MIN_RECENT + 40):
        gather.search(ask())
    pool.faults |= {0: faults.late, 1: faults.late}
    pool.only[0] = 0
    asked = ask(deadline_ms=100)
    gathered = gather.search(asked)
    np.testing.assert_array_equal(gathered.pks, without(vectors, 1, 2, asked)[1])
    assert [status.state for status in gathered.shards] == ["answered", "late"]


def test_a_loser_is_dropped_at_once_and_not_when_the_last_shard_has_answered(faulty, vectors, ask) -> None:
    """The other shard answers when the loser has been cancelled, and not before."""
    pool = faulty(2, replicas=2)
    gather = Gather(pool, min_share=0.5)
    for _ in range(2 * MIN_RECENT + 40):
        gather.search(ask())
    pool.faults |= {0: faults.late, 1: faults.late}
    pool.only[0] = 0
    answer = Found(*exact_shards(vectors, 2)[1].search("shop", ask().queries, 10))

    def let_go() -> None:
        for future in [each for each in pool.hanging if not each.done()]:
            future.set_result(answer)

    for _ in range(30):  # which replica is asked first is drawn
        pool.hanging.clear()
        pool.on_cancel = let_go
        if not gather.search(ask(deadline_ms=500)).missing:
            return
        pool.on_cancel = lambda: None
    pytest.fail("the loser was never dropped before the deadline")


ANSWERS = st.lists(
    st.lists(st.tuples(st.integers(-1, 12), st.integers(-4, 4)), min_size=4, max_size=4), min_size=1, max_size=5
)


@settings(deadline=None)
@given(ANSWERS, st.randoms(use_true_random=False))
def test_merging_is_the_same_as_sorting_everything_whatever_the_order_of_the_shards(answers, random) -> None:
    best: dict[int, float] = {}
    for pk, score in (pair for answer in answers for pair in answer):
        if pk >= 0:
            best[pk] = max(best.get(pk, -9.0), score / 4)
    expected = sorted(best.items(), key=lambda pair: (-pair[1], pair[0]))[:4]
    random.shuffle(answers)
    found = [
        Found(np.array([[score / 4 for _, score in answer]], np.float32), np.array([[pk for pk, _ in answer]]))
        for answer in answers
    ]
    cosines, pks = merged(found, 4)
    there = pks[0] >= 0
    assert list(zip(pks[0][there].tolist(), cosines[0][there].tolist(), strict=True)) == expected
    assert np.isneginf(cosines[0][~there]).all() and cosines.dtype == np.float32 and pks.dtype == np.int64
