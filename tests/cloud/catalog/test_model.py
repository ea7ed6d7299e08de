"""Whatever is done in whichever order: SQLite, PostgreSQL and a dictionary agree."""

import itertools
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from support.catalogue import GENERATION, OTHER, embedding, new_item
from support.postgres import PostgresServer, new_schema

from sightline_cloud.catalog.database import Database
from sightline_cloud.catalog.records import NewItem
from sightline_cloud.catalog.store import Store
from sightline_shared.errors import ChangesPruned, ItemNotFound

TENANTS = st.sampled_from(["one", "two"])
IDS = st.sampled_from(["a", "b/c.jpg", "d é", "e%", "f'g"])
VALUES = st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5)
METADATA = st.dictionaries(st.sampled_from(["price", "colour", "title"]), VALUES, max_size=3)
BOTH = (GENERATION, OTHER)


class Catalogues(RuleBasedStateMachine):
    """Does the same to both databases and to a dictionary, `{(tenant, id): [metadata, {generation: seed}]}`."""

    server: PostgresServer

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="sightline-model-"))
        self.places = [self.folder / "c.sqlite", new_schema(self.server)]
        self.seeds = itertools.count(1)
        self.model: dict[tuple[str, str], tuple[dict, dict[str, int]]] = {}
        self.stores: list[Store] = []
        self.pruned = 0
        self.followed: list[dict[int, str]] = [{}, {}]  # what a follower of each log has, by pk
        self.seqs = [0, 0]
        self.open()

    def open(self) -> None:
        for store in self.stores:
            store.database.close()
        self.stores = [Store(Database(place, BOTH)) for place in self.places]

    def teardown(self) -> None:
        for store in self.stores:
            store.database.close()
        shutil.rmtree(self.folder)

    def same(self, results: Iterator[object]) -> object:
        first, second = results
        assert first == second
        return first

    @rule(tenant=TENANTS, ids=st.lists(IDS, min_size=1, max_size=4), metadata=METADATA, both=st.booleans())
    def add(self, tenant: str, ids: list[str], metadata: dict, both: bool) -> None:
        kinds = BOTH if both else (GENERATION,)
        items: list[NewItem] = []
        replaced = {(tenant, item_id) for item_id in ids} & self.model.keys()
        for item_id in ids:
            seed = next(self.seeds)
            items.append(new_item(item_id, seed=seed, thumbnail=b"%d" % seed, generations=kinds, **metadata))
            self.model[tenant, item_id] = (metadata, {kind.pairing_id: seed for kind in kinds})
        assert self.same(store.add(tenant, items) for store in self.stores) == len(replaced)

    @rule(tenant=TENANTS, item_id=IDS, changes=METADATA)
    def update(self, tenant: str, item_id: str, changes: dict) -> None:
        def told(store: Store) -> object:
            try:
                return store.update_metadata(tenant, item_id, changes)
            except ItemNotFound:
                return None

        got = self.same(told(store) for store in self.stores)
        if (tenant, item_id) not in self.model:
            assert got is None
            return
        before, seeds = self.model[tenant, item_id]
        merged = {key: value for key, value in {**before, **changes}.items() if value is not None}
        assert got == merged
        self.model[tenant, item_id] = (merged, seeds)

    @rule(tenant=TENANTS, ids=st.lists(IDS, max_size=3))
    def backfill(self, tenant: str, ids: list[str]) -> None:
        seeds = {item_id: next(self.seeds) for item_id in ids}
        own = {item_id: embedding(seed, OTHER) for item_id, seed in seeds.items()}
        lacking = {key for key in ids if (tenant, key) in self.model and OTHER.pairing_id not in self.model[tenant, key][1]}  # fmt: skip
        assert self.same(store.add_vectors(tenant, OTHER.pairing_id, own) for store in self.stores) == len(lacking)
        for item_id in lacking:
            self.model[tenant, item_id][1][OTHER.pairing_id] = seeds[item_id]

    @rule(tenant=TENANTS, ids=st.lists(IDS, max_size=3, unique=True), erase=st.booleans())
    def remove(self, tenant: str, ids: list[str], erase: bool) -> None:
        def removed(store: Store) -> list[str]:
            return sorted(store.erase(tenant, ids).found if erase else store.remove(tenant, ids))

        there = sorted(item_id for item_id in ids if self.model.pop((tenant, item_id), None))
        assert self.same(removed(store) for store in self.stores) == there

    @rule(share=st.sampled_from([0.0, 0.5, 1.0]))
    def prune(self, share: float) -> None:
        """Never beyond what the follower has."""
        self.same(store.prune_changes(int(seq * share)) for store, seq in zip(self.stores, self.seqs, strict=True))
        self.pruned = max(self.pruned, int(self.seqs[0] * share))

    @rule()
    def reopen(self) -> None:
        self.open()

    @invariant()
    def they_agree(self) -> None:
        for store in self.stores:
            assert seen(store) == {
                (tenant, item_id, kind, embedding(seed, BOTH[kind == OTHER.pairing_id]).code, json.dumps(metadata, sort_keys=True))
                for (tenant, item_id), (metadata, seeds) in self.model.items()
                for kind, seed in seeds.items()
            }  # fmt: skip

    @invariant()
    def whoever_follows_the_log_has_what_is_there(self) -> None:
        for number, store in enumerate(self.stores):
            feed, has = store.feed(), self.followed[number]
            for change in feed.changes_since(self.seqs[number], limit=1_000_000):
                if change.op == "remove":
                    has.pop(change.pk, None)
                else:
                    assert change.op == "add" or change.pk in has
                    has[change.pk] = change.tenant
            self.seqs[number] = feed.position()
            rows = feed.rows(sorted(has))
            assert rows.pks.tolist() == sorted(has), "each has its vector"
            assert len(has) == len(self.model)
            if self.pruned:
                with pytest.raises(ChangesPruned):
                    feed.changes_since(0)


def seen(store: Store) -> set[tuple[str, str, str, bytes, str]]:
    found = set()
    for kind in store.database.generations:
        for tenant, count in store.feed(kind).tenants().items():
            with store.feed(kind).snapshot(tenant, chunk=3) as snapshot:
                pks = [pk for rows in snapshot.chunks for pk in rows.pks.tolist()]
            items = store.hydrate(tenant, pks, kind)
            assert len(items) == len(pks) == count == snapshot.count
            found |= {(tenant, i.id, kind, i.code, json.dumps(i.metadata, sort_keys=True)) for i in items.values()}
    return found


def test_both_databases_do_what_a_dictionary_does(postgres: PostgresServer) -> None:
    Catalogues.server = postgres
    checks = [HealthCheck.too_slow]
    run_state_machine_as_test(
        Catalogues,
        settings=settings(max_examples=10, stateful_step_count=15, deadline=None, suppress_health_check=checks),
    )
