"""The index against a dictionary and brute force: whatever is done to it, it answers what is there, and nothing else."""

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from support.galleries import clustered, codec_of
from support.list_feed import ListFeed

from sightline_cloud.index.tenants import TenantIndexes
from sightline_cloud.settings import Settings
from sightline_shared.errors import ChangesPruned, IndexFailed
from sightline_shared.where import Where

TENANT = "shop"
POOL = clustered(6000, seed=5)
COLOURS = ("red", "blue", "green")
# Every list is looked into and every candidate scored: what comes back must be exact, not only near it.
EXACT = {"ivf_min_vectors": 1000, "nprobe": 65_536, "rescore": 5000, "filter_keys": ("colour", "available")}


class IndexMachine(RuleBasedStateMachine):
    """Random adds, updates, removals, compactions, restarts, promotions, rollbacks and erasures of one tenant."""

    budget: int | None = None
    coder = "pq"

    @initialize(count=st.sampled_from([200, 1100]), seed=st.integers(0, 2**16))
    def begin(self, count: int, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.folder = Path(tempfile.mkdtemp(prefix="sightline-model-"))
        self.feed = ListFeed(codec_of())
        self.used = 0
        self.removed: list[int] = []
        self._add(count)
        self.open()

    def open(self) -> None:
        chosen = Settings(**EXACT, index_ram_bytes=self.budget, list_coder=self.coder)
        self.indexes = TenantIndexes(self.feed, codec_of(), chosen, self.folder)

    def _add(self, count: int) -> None:
        vectors = POOL[self.used : self.used + count]
        self.used += len(vectors)
        metadata = [
            {"colour": str(self.rng.choice(COLOURS)), "available": bool(self.rng.random() > 0.1)} for _ in vectors
        ]
        self.feed.add(TENANT, vectors, metadata)

    def _some(self, count: int) -> list[int]:
        pks = list(self.feed.items)
        return [int(pk) for pk in self.rng.permutation(pks)[:count]]

    @rule(count=st.integers(1, 60))
    def add(self, count: int) -> None:
        self._add(count)
        self.indexes.catch_up()

    @rule(count=st.integers(1, 40))
    def remove(self, count: int) -> None:
        doomed = self._some(count)
        self.feed.remove(doomed)
        self.removed += doomed
        self.indexes.catch_up()

    @rule(colour=st.sampled_from(COLOURS), available=st.booleans())
    def update(self, colour: str, available: bool) -> None:
        for pk in self._some(5):
            self.feed.update(pk, colour=colour, available=available)
        self.indexes.catch_up()

    @rule()
    def add_what_is_there_again(self) -> None:
        for pk in self._some(3):
            self.feed.add_again(pk)
        self.indexes.catch_up()

    @precondition(lambda self: self.feed.items)
    @rule(retrain=st.booleans())
    def compact(self, retrain: bool) -> None:
        self.indexes.compact(TENANT, retrain=retrain)

    @rule()
    def promote(self) -> None:
        self.indexes.promote()

    @rule()
    def restart(self) -> None:
        self.indexes.close()
        self.open()

    @rule()
    def prune(self) -> None:
        self.feed.prune()

    @precondition(lambda self: TENANT in self.indexes.stats())
    @rule()
    def roll_back(self) -> None:
        try:
            self.indexes.rollback(TENANT)
        except (IndexFailed, ChangesPruned):  # nothing to go back to: all stays as it is
            return

    @rule()
    def erase(self) -> None:
        doomed = self._some(2)
        self.feed.remove(doomed)
        self.removed += doomed
        self.indexes.erase(TENANT, doomed)

    @invariant()
    def it_answers_what_is_there(self) -> None:
        if not hasattr(self, "indexes"):
            return
        queries = POOL[self.rng.integers(0, max(1, self.used), 3)]
        colour = str(self.rng.choice(COLOURS))
        anything, coloured = Where(), Where.of({"colour": colour})
        for where, matches in ((anything, lambda _: True), (coloured, lambda fields: fields.get("colour") == colour)):
            cosines, found = self.indexes.search(TENANT, queries, 10, where)
            for query, own_cosines, own in zip(queries, cosines, found, strict=True):
                wanted = self.feed.exact(TENANT, query, 10, matches)
                there = [int(pk) for pk in own if pk >= 0]
                assert len(there) == len(wanted) and not set(there) & set(self.removed)
                true = sorted((float(self._vector(pk) @ query) for pk in wanted), reverse=True)
                # By cosine, not by pk: of two that are equally near either may come first.
                np.testing.assert_allclose(own_cosines[: len(true)], true, atol=1e-5)
                np.testing.assert_allclose([float(self._vector(pk) @ query) for pk in there], true, atol=1e-5)

    def _vector(self, pk: int) -> np.ndarray:
        return self.feed.items[pk][1].astype(np.float32)

    def teardown(self) -> None:
        if hasattr(self, "indexes"):
            assert self.indexes.verify() == []
            self.indexes.close()
            shutil.rmtree(self.folder)


class OnSsd(IndexMachine):
    """The same with a budget that has room for some of the lists only."""

    budget = 30_000


class Rabitq(IndexMachine):
    """The same with codes that are trained at the build."""

    coder = "rabitq"


@pytest.mark.parametrize("machine", [IndexMachine, OnSsd, Rabitq], ids=["ram", "ssd", "rabitq"])
def test_whatever_is_done_the_index_answers_what_is_there(machine: type[IndexMachine]) -> None:
    case = machine.TestCase()
    case.settings = settings(
        max_examples=8, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck)
    )
    case.runTest()
