"""What devices get when they sync: afterwards each holds exactly the head, whatever happened before."""

import random
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from support.catalogue import GENERATION, new_item
from support.phones import Phone, Shop, check

from sightline_cloud.catalog.database import Database
from sightline_cloud.catalog.store import Store
from sightline_cloud.pocket import head, pockets
from sightline_cloud.pocket.head import read_head
from sightline_cloud.pocket.pockets import Pockets, listed_ids
from sightline_cloud.pocket.version import Version
from sightline_cloud.settings import Settings
from sightline_shared.errors import ConfigInvalid
from sightline_shared.pocket_file import Part

KEYS = ("category", "available")


@pytest.fixture
def store(tmp_path: Path):
    database = Database(tmp_path / "data" / "catalogue.sqlite", [GENERATION])
    yield Store(database)
    database.close()


@pytest.fixture
def serving(store: Store, tmp_path: Path) -> Callable[..., Pockets]:
    return lambda **settings: Pockets(store, Settings(data_dir=tmp_path / "data", **settings))


@pytest.mark.parametrize("listed", [(), ("i3", "i7", "gone", "i11"), tuple(f"i{n}" for n in range(12))])
@pytest.mark.parametrize("seed", range(3))
def test_devices_that_sync_at_any_time_hold_exactly_the_head_and_need_one_call(
    store: Store, serving, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, seed: int, listed: tuple[str, ...]
) -> None:
    monkeypatch.setattr(head, "LOOKED_AT", 100)
    (tmp_path / "data" / "pocket").mkdir(parents=True)
    (tmp_path / "data" / "pocket" / "default.ids").write_text("\n".join(listed))
    rng, shop, service = random.Random(seed), Shop(store, 8, listed), serving(filter_keys=KEYS, pocket_items=8)
    phones, seen = [Phone() for _ in range(4)], []
    for step in range(160):
        ids = list(shop.items)
        act = (
            rng.choice(["add", "add", "replace", "remove", "update", "hide", "show", "archive", "unarchive", "other"])
            if ids
            else "add"
        )
        chosen = rng.choice(ids) if ids else ""
        if act == "add":
            free = [f"i{n}" for n in range(20) if f"i{n}" not in shop.items]
            shop.add(rng.choice(free or ids), category=rng.choice(["a", "b"]))
        elif act == "replace":
            shop.add(chosen, category="c", title=f"step {step}")
        elif act == "remove":
            shop.remove(chosen)
        elif act == "other":
            store.add("another", [new_item(chosen)])
            shop.pk += 1
        else:
            what = {
                "update": {"category": f"u{step}"},
                "hide": {"available": False},
                "show": {"available": True},
                "archive": {"archived": True},
                "unarchive": {"archived": False},
            }
            shop.update(chosen, **what[act])
        if rng.random() < 0.4:
            phone = rng.choice(phones)
            phone.sync(service)
            check(phone, shop)
            seen += phone.calls
    assert "again" not in seen, "no delta missed its mark"
    assert seen.count("delta") > 15 and seen.count("whole") < len(seen) / 2, "deltas were what devices got"


def test_what_cannot_be_answered_with_a_delta_is_answered_whole(store: Store, serving, monkeypatch) -> None:
    service, phone = serving(), Phone()
    store.add("default", [new_item(f"i{n}") for n in range(30)])
    phone.sync(service)
    version = phone.held.version
    store.remove("default", ["i3"])

    def kind(have: str, tenant: str = "default") -> str:
        data = service.answer(tenant, GENERATION.pairing_id, have)
        return "delta" if data and not Part.from_bytes(data).sent.all() else "whole"

    assert kind(version) == "delta"
    parsed = Version.of(version)
    ahead = Version(parsed.lineage, parsed.seq + 100, parsed.floor, parsed.digest)
    assert kind(str(ahead)) == "whole", "a catalogue that was restored from a backup stands before its devices"
    assert [kind(text) for text in ("", "x", "1.2.3.4", version + " ", version.upper(), "9" * 200)] == ["whole"] * 6
    store.add("another", [new_item("i3")])
    assert kind(version, "another") == "whole", "another tenant's version"
    assert len(serving(filter_keys=("brand",)).answer("default", GENERATION.pairing_id, version)) > 30 * 64
    store.prune_changes(store.position())
    assert kind(version) == "whole"
    phone.sync(service)
    store.add("default", [new_item("new")])
    assert kind(phone.held.version) == "delta"
    monkeypatch.setattr(pockets, "MAX_CHANGES", 1)
    assert kind(phone.held.version) == "whole"


def test_a_device_that_lacks_nothing_gets_nothing_until_its_version_is_old(store: Store, serving, monkeypatch) -> None:
    service, phone = serving(), Phone()
    store.add("default", [new_item(f"i{n}") for n in range(50)])
    phone.sync(service)
    for number in range(3):
        store.add("another", [new_item(f"o{number}")])
    phone.sync(service)
    assert phone.calls == ["same"]
    monkeypatch.setattr(pockets, "REFRESH_CHANGES", 3)
    before = phone.held.version
    phone.sync(service)
    assert phone.calls == ["delta"] and phone.held.version != before and len(phone.rows) == 50
    phone.sync(service)
    assert phone.calls == ["same"]


def test_a_head_is_read_once_for_all_devices_until_its_tenant_changes(store: Store, serving, monkeypatch) -> None:
    reads = []
    monkeypatch.setattr(pockets, "read_head", lambda *args: (reads.append(1), read_head(*args))[1])
    service = serving()
    store.add("default", [new_item("a")])
    threads = [threading.Thread(target=Phone().sync, args=(service,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(reads) == 1
    store.add("another", [new_item("b")])
    Phone().sync(service)
    assert len(reads) == 1
    store.update_metadata("default", "a", {"title": "changed"})
    phone = Phone()
    phone.sync(service)
    assert len(reads) == 2 and phone.rows["a"][2] == {"title": "changed"}
    assert service.forget("default") == 1 and service.forget("default") == 0


def test_heads_in_memory_are_bounded(store: Store, serving, monkeypatch) -> None:
    monkeypatch.setattr(pockets, "MAX_HEADS", 2)
    service = serving()
    for tenant in "abcd":
        store.add(tenant, [new_item("x")])
        Phone().sync(service, tenant)
    assert [service.forget(tenant) for tenant in "abcd"] == [0, 0, 1, 1]


def test_the_operators_list(tmp_path: Path) -> None:
    path = tmp_path / "shop.ids"
    assert listed_ids(path) == ()
    path.write_text("b\n\n a \nb\r\né\n")
    assert listed_ids(path) == ("b", "a", "é")
    path.write_bytes(b"\xff\n")
    with pytest.raises(ConfigInvalid, match="one a line"):
        listed_ids(path)
    path.write_bytes(b"x" * (pockets.MAX_LIST_BYTES + 1))
    with pytest.raises(ConfigInvalid, match="at most"):
        listed_ids(path)
    with pytest.raises(ConfigInvalid):
        listed_ids(tmp_path)
