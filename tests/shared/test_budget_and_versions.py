"""A deadline that is spent stage by stage, and the pairs that may meet."""

import pytest

from sightline_shared.budget import Budget
from sightline_shared.errors import VersionMismatch
from sightline_shared.versions import PAIRING_BYTES, Pairing, check_pairing


class Hand:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def test_stages_add_up_and_the_deadline_falls() -> None:
    clock = Hand()
    budget = Budget(50, clock=clock)
    for _ in range(2):
        with budget.stage("search"):
            clock.seconds += 0.020
    assert budget.stages_ms == {"search": pytest.approx(40)}
    assert budget.left_ms == pytest.approx(10) and not budget.exhausted
    clock.seconds += 1
    assert budget.left_ms == 0 and budget.exhausted


def test_a_stage_that_raises_is_still_counted() -> None:
    clock = Hand()
    budget = Budget(clock=clock)
    with pytest.raises(KeyError), budget.stage("decode"):
        clock.seconds += 0.003
        raise KeyError
    assert budget.stages_ms == {"decode": pytest.approx(3)}
    assert budget.left_ms == float("inf")


def test_equal_bundles_meet_and_others_are_refused() -> None:
    one, other = Pairing("space-a", "0" * 64), Pairing("space-a", "1" * 64)
    assert len(one.id) == PAIRING_BYTES
    check_pairing(one.id, [other.id, Pairing("space-a", "0" * 64).id])
    for stranger in (other, Pairing("space-b", "0" * 64)):
        with pytest.raises(VersionMismatch, match=one.id.hex()):
            check_pairing(stranger.id, [one.id])
