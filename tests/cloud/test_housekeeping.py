"""The service keeps its own house: compacts what is due, prunes the log no further than somebody needs it, stops at once."""

import threading
import time
from pathlib import Path

import pytest
from support.crowd import fill

from sightline_cloud import maintain
from sightline_cloud.embedded import EmbeddedService
from sightline_cloud.engine import Engine
from sightline_cloud.maintain import Housekeeping
from sightline_cloud.settings import Settings
from sightline_shared.bundle import Bundle
from sightline_shared.errors import IndexFailed

COUNT = 1100


@pytest.fixture
def engine(tmp_path: Path, tiny: Bundle):
    opened = Engine(Settings(data_dir=tmp_path / "data", ivf_min_vectors=1000), tiny, owner="the test")
    fill(opened, COUNT)
    opened.catch_up()
    yield opened
    opened.close()


def stats(engine: Engine) -> dict:
    return engine.primary.indexes.stats()["default"]


def test_an_index_that_has_changed_enough_is_compacted_and_another_is_not(engine) -> None:
    housekeeping = Housekeeping(engine)
    fill(engine, 20, first=COUNT)
    engine.catch_up()
    housekeeping.round()
    assert housekeeping.stats()["compactions"] == 0
    fill(engine, 60, first=COUNT + 20)
    engine.catch_up()
    housekeeping.round()
    assert housekeeping.stats() == {"rounds": 2, "compactions": 1, "changes_pruned": 0, "now": None}
    assert (stats(engine)["delta"], stats(engine)["vectors"]) == (0, COUNT + 80)


def test_a_tenant_that_grows_gets_its_large_index(engine) -> None:
    assert engine.primary.indexes.stats()["default"]["kind"] == "ivf"
    fill(engine, 1000, tenant="shop-2")
    engine.catch_up()
    assert engine.primary.indexes.stats()["shop-2"]["kind"] == "flat"
    Housekeeping(engine).round()
    assert engine.primary.indexes.stats()["shop-2"]["kind"] == "ivf"


def test_a_tenant_whose_index_cannot_be_compacted_holds_up_no_other(engine, monkeypatch) -> None:
    fill(engine, 1000, tenant="another")
    fill(engine, 1000, tenant="broken")
    engine.catch_up()
    (shard,) = engine.primary.indexes.shards
    assert shard.due() == ["another", "broken"]
    monkeypatch.setattr(shard, "due", lambda: ["broken", "another"])
    honest = shard.compact

    def compact(tenant: str, **more) -> None:
        if tenant == "broken":
            raise IndexFailed("no more room")
        honest(tenant, **more)

    monkeypatch.setattr(shard, "compact", compact)
    housekeeping = Housekeeping(engine)
    with pytest.raises(IndexFailed, match="no more room"):
        housekeeping.round()
    kinds = {tenant: line["kind"] for tenant, line in engine.primary.indexes.stats().items()}
    assert kinds == {"default": "ivf", "another": "ivf", "broken": "flat"}
    assert housekeeping.stats() == {"rounds": 1, "compactions": 1, "changes_pruned": 0, "now": None}


def test_the_log_is_pruned_up_to_what_the_oldest_snapshot_needs(engine, monkeypatch) -> None:
    monkeypatch.setattr(maintain, "CHANGES_KEPT", 100)
    housekeeping = Housekeeping(engine)
    housekeeping.round()
    assert housekeeping.stats()["changes_pruned"] == COUNT - 100, "the last 100 stay, for other processes"
    fill(engine, 500, first=COUNT)
    engine.catch_up()
    housekeeping.round()
    housekeeping.round()
    assert housekeeping.stats()["compactions"] == 1
    assert housekeeping.stats()["changes_pruned"] == COUNT, "not beyond the first snapshot, which a rollback may need"
    (shard,) = engine.primary.indexes.shards
    shard.rollback("default")
    assert stats(engine)["vectors"] == COUNT + 500


def test_a_compaction_ends_at_its_next_step_when_the_service_stops(engine) -> None:
    housekeeping = Housekeeping(engine)
    fill(engine, 100, first=COUNT)
    engine.catch_up()
    housekeeping.stop()
    housekeeping.round()
    assert housekeeping.stats()["compactions"] == 0
    assert stats(engine)["delta"] == 100 and stats(engine)["vectors"] == COUNT + 100


def test_the_service_does_it_by_itself_and_survives_a_failure(tmp_path: Path, tiny: Bundle, monkeypatch) -> None:
    settings = Settings(data_dir=tmp_path / "data", ivf_min_vectors=1000, port=0, housekeeping_seconds=0.05)
    failed = threading.Event()
    honest = Housekeeping.round

    def once_broken(self) -> None:
        if not failed.is_set():
            failed.set()
            raise ZeroDivisionError
        honest(self)

    monkeypatch.setattr(Housekeeping, "round", once_broken)
    with EmbeddedService(settings, tiny) as service:
        fill(service.engine, COUNT)
        give_up = time.monotonic() + 60
        while service.engine.primary.indexes.stats().get("default", {}).get("kind") != "ivf":
            assert time.monotonic() < give_up
            time.sleep(0.02)
    assert failed.is_set()
