"""The head of the catalogue, and what devices get of it: after every sync a device holds exactly what it should."""

import json
import random
import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import pytest
from support.catalogue import GENERATION, new_item
from support.service import Service
from support.tiny_bundle import picture

from sightline_cloud.catalog.database import Database
from sightline_cloud.catalog.store import Store
from sightline_cloud.pocket import head, pockets
from sightline_cloud.pocket.head import Wanted, cells_of, read_head
from sightline_cloud.pocket.pockets import Pockets, listed_ids
from sightline_cloud.pocket.version import Version
from sightline_cloud.settings import Settings
from sightline_edge import Client, Options
from sightline_edge.pocket import PocketIndex
from sightline_shared.cli import main
from sightline_shared.errors import ConfigInvalid, PocketUnusable, StoreCorrupt
from sightline_shared.pocket_file import MAX_CELL_BYTES, Part, Pocket
from sightline_shared.preprocess import to_tensor
from sightline_shared.where import Where

KEYS = ("category", "available")


@pytest.fixture
def store(tmp_path: Path):
    database = Database(tmp_path / "data" / "catalogue.sqlite", [GENERATION])
    yield Store(database)
    database.close()


@pytest.fixture
def serving(store: Store, tmp_path: Path) -> Callable[..., Pockets]:
    return lambda **settings: Pockets(store, Settings(data_dir=tmp_path / "data", **settings))


def ids_of(pocket: Pocket) -> list[str]:
    return list(map(json.loads, pocket.columns[0]))


def head_ids(store: Store, items: int = 100, listed: tuple[str, ...] = (), tenant: str = "default") -> list[str]:
    generation = store.database.generation()
    found = read_head(store.database, generation, Wanted(tenant, items, listed, KEYS))
    return ids_of(found.pocket)


class Phone:
    """A device as the service sees it: what it holds, brought up to date by one or two calls."""

    def __init__(self) -> None:
        self.held: Pocket | None = None
        self.calls: list[str] = []

    def sync(self, service: Pockets, tenant: str = "default") -> None:
        have = self.held.version if self.held else ""
        data = service.answer(tenant, GENERATION.pairing_id, have)
        self.calls = ["same" if data is None else "delta" if not Part.from_bytes(data).sent.all() else "whole"]
        if data is None:
            return
        try:
            self.held = Part.from_bytes(data).onto(self.held)
        except PocketUnusable:
            whole = service.answer(tenant, GENERATION.pairing_id, "")
            self.calls.append("again")
            self.held = Part.from_bytes(whole).onto(None)

    @property
    def rows(self) -> dict[str, tuple[int, bytes, dict]]:
        assert self.held is not None
        names, found = ("id", "title", *self.held.identity.filter_keys), {}
        for pk, code, *cells in zip(self.held.pks.tolist(), self.held.codes, *self.held.columns, strict=True):
            metadata = {name: json.loads(cell) for name, cell in zip(names, cells, strict=True) if cell}
            found[metadata.pop("id")] = (pk, code.tobytes(), metadata)
        return found


class Shop:
    """The catalogue as a test knows it: what the head must be, worked out the slow and obvious way."""

    def __init__(self, store: Store, size: int, listed: tuple[str, ...] = ()) -> None:
        self.store, self.size, self.listed = store, size, listed
        self.items: dict[str, tuple[int, dict]] = {}
        self.pk = 0

    def add(self, item_id: str, **metadata: object) -> None:
        self.pk += 1
        self.items[item_id] = (self.pk, metadata)
        self.store.add("default", [new_item(item_id, seed=self.pk, **metadata)])

    def update(self, item_id: str, **changes: object) -> None:
        pk, metadata = self.items[item_id]
        self.items[item_id] = (pk, {**metadata, **changes})
        self.store.update_metadata("default", item_id, changes)

    def remove(self, item_id: str) -> None:
        del self.items[item_id]
        self.store.remove("default", [item_id])

    def expected(self) -> dict[str, tuple[int, dict]]:
        there = {key: own for key, own in self.items.items() if own[1].get("available") is not False}
        first = [key for key in self.listed[: self.size] if key in there]
        newest = sorted((key for key in there if key not in self.listed[: self.size]), key=lambda key: -there[key][0])
        return {key: there[key] for key in [*first, *newest][: self.size]}


def check(phone: Phone, shop: Shop) -> None:
    stored = {own.id: own for own in shop.store.hydrate("default", [pk for pk, _ in shop.items.values()]).values()}
    got = {key: (pk, metadata) for key, (pk, _, metadata) in phone.rows.items()}
    assert got == shop.expected()
    assert all(code == stored[key].code for key, (_, code, _) in phone.rows.items())


@pytest.mark.parametrize("listed", [(), ("i3", "i7", "gone", "i11"), tuple(f"i{n}" for n in range(12))])
@pytest.mark.parametrize("seed", range(3))
def test_devices_that_sync_at_any_time_hold_exactly_the_head_and_need_one_call(
    store: Store, serving, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, seed: int, listed: tuple[str, ...]
) -> None:
    monkeypatch.setattr(pockets, "HEAD_ITEMS", 8)
    monkeypatch.setattr(head, "LOOKED_AT", 100)
    (tmp_path / "data" / "pocket").mkdir(parents=True)
    (tmp_path / "data" / "pocket" / "default.ids").write_text("\n".join(listed))
    rng, shop, service = random.Random(seed), Shop(store, 8, listed), serving(filter_keys=KEYS)
    phones, seen = [Phone() for _ in range(4)], []
    for step in range(160):
        ids = list(shop.items)
        act = rng.choice(["add", "add", "replace", "remove", "update", "hide", "show", "other"]) if ids else "add"
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
            what = {"update": {"category": f"u{step}"}, "hide": {"available": False}, "show": {"available": True}}[act]
            shop.update(chosen, **what)
        if rng.random() < 0.4:
            phone = rng.choice(phones)
            phone.sync(service)
            check(phone, shop)
            seen += phone.calls
    assert "again" not in seen, "no delta missed its mark"
    assert seen.count("delta") > 15 and seen.count("whole") < len(seen) / 2, "deltas were what devices got"


def test_the_newest_available_items_are_the_head_and_an_item_added_again_is_new(store: Store) -> None:
    store.add("default", [new_item(f"i{n}", available=n != 4) for n in range(6)])
    assert head_ids(store, 3) == ["i2", "i3", "i5"]
    store.add("default", [new_item("i0")])
    assert head_ids(store, 3) == ["i3", "i5", "i0"]
    assert head_ids(store, 3, ("i1", "nobody", "i4")) == ["i1", "i5", "i0"], "the operator's come first, if available"
    assert head_ids(store, 2, ("i1", "i2", "i3"))[:2] == ["i1", "i2"], "in the operator's order"


def test_no_more_items_are_looked_at_than_four_times_the_head(store: Store) -> None:
    store.add("default", [new_item("old")] + [new_item(f"hidden{n}", available=False) for n in range(11)])
    assert head_ids(store, 3) == ["old"], "the twelfth is still looked at"
    store.add("default", [new_item("hidden", available=False)])
    assert head_ids(store, 3) == []


def test_a_head_holds_one_tenant_and_a_generation_without_vectors_is_left_out(store: Store) -> None:
    store.add("default", [new_item("mine")])
    store.add("another", [new_item("yours")])
    assert head_ids(store) == ["mine"] and head_ids(store, tenant="another") == ["yours"]
    assert head_ids(store, tenant="nobody") == []


def test_a_row_holds_id_short_title_and_what_filters_ask_for() -> None:
    metadata = {
        "title": "t" * 59 + " " + "t" * 300,
        "category": "milk",
        "available": True,
        "price": 9.5,
        "brand": "b" * 201,
    }
    cells = cells_of("é/1", metadata, ("category", "available", "brand", "size"))
    assert cells == ('"é/1"'.encode(), b'"' + b"t" * 59 + b'"', b'"milk"', b"true", b"", b"")
    worst = cells_of(
        '"' * 200, {"title": "\0" * 300, "a": "\0" * 200, "b": "\U0001f600" * 200, "c": -1.7976931348623157e308}, "abc"
    )
    assert max(map(len, worst)) == MAX_CELL_BYTES and not any(b"\n" in cell for cell in worst)
    assert cells_of("a", {"title": 5}, ()) == (b'"a"', b"")


def test_a_damaged_row_is_not_carried_away(store: Store) -> None:
    store.add("default", [new_item("a"), new_item("b")])
    with store.database.write() as connection:
        connection.exec_driver_sql("UPDATE items SET metadata = '{\"title\": \"forged\"}' WHERE id = 'a'")
    with pytest.raises(StoreCorrupt, match="'a'"):
        head_ids(store)


def test_an_item_that_a_damaged_index_calls_the_tenants_own_is_not_carried_away(store: Store, monkeypatch) -> None:
    store.add("another", [new_item("theirs")])
    ask = head._Reader._rows

    def damaged(reader, where: str, *values: object) -> list:
        reader._select = reader._select.replace("items.tenant = ?", "? <> ''")
        return ask(reader, where, *values)

    monkeypatch.setattr(head._Reader, "_rows", damaged)
    with pytest.raises(StoreCorrupt, match="another's"):
        head_ids(store)


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


# Through a running service.


def get(service: Service, key: str = "own", **query: str) -> httpx.Response:
    with service.http(key) as http:
        return http.get("/v1/pocket", params=query)


def taken(response: httpx.Response) -> list[str]:
    assert response.status_code == 200, response.text
    return ids_of(Part.from_bytes(response.content).onto(None))


def test_the_service_answers_whole_delta_and_not_changed(service: Service) -> None:
    pairing = service.device.bundle.pairing.id.hex()
    whole = get(service, pairing=pairing)
    assert taken(whole) == [f"item/{n}" for n in range(10)]
    base = Part.from_bytes(whole.content).onto(None)
    assert get(service, pairing=pairing, have=base.version).status_code == 304
    with service.http() as http:
        assert http.delete("/v1/items/item/3").status_code == 200
    service.add(11)
    delta = get(service, pairing=pairing, have=base.version)
    part = Part.from_bytes(delta.content)
    assert len(part.codes) == 1 and len(delta.content) < len(whole.content)
    assert ids_of(part.onto(base)) == [f"item/{n}" for n in (0, 1, 2, 4, 5, 6, 7, 8, 9, 11)]


def test_the_tenant_comes_from_the_key_alone(service: Service) -> None:
    pairing = service.device.bundle.pairing.id.hex()
    other = service.new_key("other", "shop-2")
    service.add(50, other)
    assert taken(get(service, other, pairing=pairing, tenant="default")) == ["item/50"]
    mine = Part.from_bytes(get(service, pairing=pairing).content)
    foreign = get(service, other, pairing=pairing, have=mine.version)
    assert taken(foreign) == ["item/50"], "a version of another tenant is no base"


def test_a_request_that_is_none_is_refused(service: Service) -> None:
    for query in ({}, {"pairing": "zz"}, {"pairing": "00" * 9}):
        refused = get(service, **query)
        assert (refused.status_code, refused.json()["code"]) == (400, "E_BODY_MALFORMED"), query
    stranger = get(service, pairing="00" * 8)
    assert (stranger.status_code, stranger.json()["code"]) == (409, "E_VERSION_MISMATCH")


def test_a_key_without_both_scopes_gets_nothing(service: Service) -> None:
    pairing = service.device.bundle.pairing.id.hex()
    for number, scopes in enumerate([("write",), ("search",), ("rerank", "write", "admin")]):
        refused = get(service, service.new_key(f"k{number}", "default", *scopes), pairing=pairing)
        assert (refused.status_code, refused.json()["code"]) == (403, "E_SCOPE_MISSING")
    with service.http(None) as http:
        assert http.get("/v1/pocket", params={"pairing": pairing}).status_code == 401


def test_an_erased_item_is_in_nothing_that_the_service_keeps(service: Service) -> None:
    pairing, operator = service.device.bundle.pairing.id.hex(), service.new_key("operator", "default", "admin")
    whole = get(service, pairing=pairing)
    with service.operator(operator) as http:
        receipt = http.post("/v1/admin/erase", json={"ids": ["item/3"]}, timeout=60).json()
    assert receipt["content"]["erased"]["pockets"] == ["pocket indexes: 1 of the tenant dropped"]
    have = Part.from_bytes(whole.content).version
    after = Part.from_bytes(get(service, pairing=pairing, have=have).content).onto(
        Part.from_bytes(whole.content).onto(None)
    )
    assert ids_of(after) == [f"item/{n}" for n in range(10) if n != 3]


def test_an_export_beside_the_service_is_what_the_device_opens_and_syncs(
    service: Service, tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = service.engine.settings.data_dir, tmp_path / "pocket.slp"
    (data / "pocket").mkdir()
    (data / "pocket" / "default.ids").write_text("item/2\nitem/1\n")
    words = ["pocket", "export", "--data", str(data), "--bundle", str(tiny_folder), "--out", str(out), "--json"]
    assert main([*words, "--items", "4"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["items"], told["listed"], told["bytes"]) == (4, 2, out.stat().st_size)
    index = PocketIndex.open(out, service.device)
    embedding = service.device.runtime.embed(to_tensor(picture(2), 192)[np.newaxis])[0]
    found = index.search(embedding, 10)
    assert sorted(match.id for match in found) == ["item/1", "item/2", "item/8", "item/9"]
    assert found[0].id == "item/2" and found[0].metadata == {"title": "Item 2"}
    with service.client() as client:
        answer = client.search(picture(2), options=Options(rerank=False))
    assert answer.matches[0].id == "item/2"
    assert found[0].score == pytest.approx(answer.matches[0].score, abs=0.02)

    sync = [
        "pocket",
        "sync",
        "--file",
        str(out),
        "--url",
        service.url,
        "--api-key",
        service.key,
        "--bundle",
        str(tiny_folder),
    ]
    assert main([*sync, "--json"]) == 0
    synced = json.loads(capsys.readouterr().out)
    assert (synced["items"], synced["calls"], synced["changed"]) == (10, 1, True)
    assert main([*sync, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["bytes_down"] == 0
    picture(2).save(tmp_path / "photo.png")
    ask = ["pocket", "search", str(out), str(tmp_path / "photo.png"), "--bundle", str(tiny_folder)]
    assert main([*ask, "-k", "3", "--json"]) == 0
    (answer,) = json.loads(capsys.readouterr().out)["answers"]
    assert len(answer["matches"]) == 3 and answer["matches"][0]["id"] == "item/2" and "pocket" in answer["stages_ms"]
    assert main(ask) == 0 and "Item 2" in capsys.readouterr().out
    assert main([*words[:-1], "--tenant", "nobody"]) == 1 and main([*words[:-1], "--items", "0"]) == 1


def test_filters_agree_with_the_service(start, tmp_path: Path) -> None:
    service = start()
    for number in range(12):
        service.add(number, category=["milk", "juice", "1"][number % 3], available=number % 4 != 3)
    index = PocketIndex(tmp_path / "pocket.slp", service.device)
    assert index.apply(get(service, pairing=index.pairing_id.hex()).content)
    embedding = service.device.runtime.embed(to_tensor(picture(1), 192)[np.newaxis])[0]
    for wanted in (
        {"category": "milk"},
        {"category": ["milk", "1"], "available": True},
        {"category": 1},
        {"brand": "x"},
    ):
        with service.client() as client:
            answer = client.search(picture(1), where=wanted)
        local = index.search(embedding, 50, Where.of(wanted))
        reached = {match.id for match in answer.matches}
        assert reached == {match.id for match in local} or answer.outcome == "not_found"


def test_the_client_brings_it_up_to_date_and_answers_from_it_when_the_service_is_gone(start, tmp_path: Path) -> None:
    service = start()
    for number in range(4):
        service.add(number, title=f"Item {number}")
    index = PocketIndex.open_or_empty(tmp_path / "pocket.slp", service.device)
    with Client(
        service.url, api_key=service.key, device=service.device, pocket=index, options=Options(retries=0)
    ) as client:
        synced = client.sync_pocket()
        assert (synced.items, synced.calls) == (4, 1) and client.search(picture(2)).decided_by == "cloud"
        start.stop()
        answer = client.search(picture(2))
    assert (answer.decided_by, answer.final, answer.matches[0].id) == ("pocket", True, "item/2")
    assert answer.trouble == "E_SERVICE_UNREACHABLE"
