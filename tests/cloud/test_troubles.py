"""The service's troubles have names, and it outlives those that pass."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import pytest
from support.catalogue import GENERATION, new_item
from support.tiny_bundle import DIM, jpeg, picture

from sightline_cloud.catalog.catalogue_feed import CatalogueFeed
from sightline_cloud.catalog.database import Database
from sightline_cloud.catalog.records import NewItem
from sightline_cloud.catalog.store import Store
from sightline_cloud.embedded import EmbeddedService
from sightline_cloud.engine import Engine
from sightline_cloud.index.tenants import TenantIndexes
from sightline_cloud.settings import Settings
from sightline_shared.bundle import write_bundle
from sightline_shared.cli import main
from sightline_shared.errors import BundleCorrupt, ConfigInvalid, StoreUnavailable


def items(count: int, prefix: str = "i") -> list[NewItem]:
    return [new_item(f"{prefix}{number}") for number in range(count)]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(Database(tmp_path / "c.sqlite", [GENERATION]))


def test_what_follows_a_failure_half_way_is_added_once(store, tiny, tmp_path: Path, monkeypatch) -> None:
    feed = store.feed()
    indexes, honest, calls = TenantIndexes(feed, tiny.codec, Settings(), tmp_path / "index"), feed.rows, []

    def flaky(pks):
        calls.append(pks)
        if len(calls) % 2:
            raise StoreUnavailable("the disk went away")
        return honest(pks)

    monkeypatch.setattr(feed, "rows", flaky)
    for prefix, expected in (("a", 12), ("bb", 24)):  # into a new index, and into one that is there
        store.add("t", items(12, prefix))
        with pytest.raises(StoreUnavailable):
            indexes.catch_up()
        assert indexes.trouble and indexes.seq < store.position()
        indexes.catch_up()
        assert indexes.stats()["t"]["vectors"] == expected and indexes.trouble is None
        assert indexes.seq == store.position()


def test_a_tenant_emptied_while_its_index_is_built_is_left_empty(store, tiny, tmp_path: Path, monkeypatch) -> None:
    feed = store.feed()
    indexes, honest = TenantIndexes(feed, tiny.codec, Settings(), tmp_path / "index"), feed.snapshot
    store.add("t", items(100))
    indexes.catch_up()

    def emptied(tenant, *rest, **more):
        store.remove("t", [f"i{n}" for n in range(100)])
        return honest(tenant, *rest, **more)

    monkeypatch.setattr(feed, "snapshot", emptied)
    indexes.compact("t")
    indexes.catch_up()
    _, pks = indexes.search("t", np.ones((1, DIM), np.float32), 3)
    assert pks.tolist() == [[-1, -1, -1]]


def test_the_service_keeps_following_after_any_error_and_says_so_meanwhile(service, tiny, monkeypatch) -> None:
    honest = CatalogueFeed.changes_since
    monkeypatch.setattr(CatalogueFeed, "changes_since", lambda self, seq, limit=1: 1 / 0)
    other = Engine(Settings(data_dir=service.engine.settings.data_dir), tiny)
    other.ingest.add_one("default", "from-elsewhere", jpeg(picture(88)), {})
    with service.http() as http, service.client() as client:
        broken = eventually(lambda: http.get("/readyz"), 503)
        assert broken.json()["code"] == "E_SERVICE_NOT_READY"
        monkeypatch.setattr(CatalogueFeed, "changes_since", honest)
        eventually(lambda: http.get("/readyz"), 200)
        assert client.search(picture(88)).matches[0].id == "from-elsewhere"
    other.close()


def eventually(ask: Callable[[], httpx.Response], status: int) -> httpx.Response:
    """Ask until the answer has `status`, for at most ten seconds."""
    for _ in range(200):
        if (answer := ask()).status_code == status:
            return answer
        time.sleep(0.05)
    raise AssertionError(f"expected status {status}, got {answer.status_code}: {answer.text}")


def test_a_bundle_without_thresholds_is_refused_at_start(tiny, tmp_path: Path) -> None:
    for number, decision in enumerate(({}, {"found_min_score": 0.2, "not_found_max_score": 0.4})):
        fields = {**json.loads(tiny.manifest.to_bytes()), "decision": decision}
        manifest = type(tiny.manifest).from_bytes(json.dumps(fields).encode())
        bundle = write_bundle(tmp_path / f"bundle{number}", manifest, tiny.files)
        with pytest.raises(BundleCorrupt, match="decision thresholds"):
            EmbeddedService(Settings(data_dir=tmp_path / "data", port=0), bundle)


def test_a_mistyped_folder_is_not_an_empty_catalogue(tmp_path: Path, tiny_folder: Path, capsys) -> None:
    where = ["--data", str(tmp_path / "typo"), "--bundle", str(tiny_folder), "--json"]
    for words in (["index", "stats"], ["index", "remove", "x"], ["key", "list"], ["key", "revoke", "x"]):
        assert main([*words, *where]) == 1
        assert json.loads(capsys.readouterr().out)["error"]["code"] == "E_STORE_UNAVAILABLE"
    assert not (tmp_path / "typo").exists()


def test_a_tenant_that_no_key_can_name_is_refused(tmp_path: Path, tiny_folder: Path, capsys) -> None:
    picture(1).save(tmp_path / "a.png")
    words = ["index", "add", str(tmp_path), "--tenant", "two words", "--data", str(tmp_path / "d")]
    assert main([*words, "--bundle", str(tiny_folder), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "E_CONFIG_INVALID"


@pytest.mark.parametrize(
    "wrong",
    [{"port": 70_000}, {"search_threads": 0}, {"max_item_bytes": 1}, {"max_deadline_ms": 0}, {"poll_seconds": float("nan")}, {"network_ms": -1}],
)  # fmt: skip
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    (name,) = wrong
    with pytest.raises(ConfigInvalid, match=f"{name}: expected"):
        Settings(**wrong)
