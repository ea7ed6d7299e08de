"""Devices with a pocket index as the service sees them, and a shop whose head is known the slow and obvious way."""

from __future__ import annotations

import json

from sightline_cloud.catalog.store import Store
from sightline_cloud.pocket.pockets import Pockets
from sightline_shared.errors import PocketUnusable
from sightline_shared.pocket_file import Part, Pocket
from support.catalogue import GENERATION, new_item
from support.list_feed import may_answer


def ids_of(pocket: Pocket) -> list[str]:
    return list(map(json.loads, pocket.columns[0]))


def shown(metadata: dict) -> dict:
    """What a device sees of it: nothing that nobody may filter on."""
    return {key: value for key, value in metadata.items() if key != "archived"}


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
        there = {key: own for key, own in self.items.items() if may_answer(own[1])}
        first = [key for key in self.listed[: self.size] if key in there]
        newest = sorted((key for key in there if key not in self.listed[: self.size]), key=lambda key: -there[key][0])
        return {key: (there[key][0], shown(there[key][1])) for key in [*first, *newest][: self.size]}


def check(phone: Phone, shop: Shop) -> None:
    stored = {own.id: own for own in shop.store.hydrate("default", [pk for pk, _ in shop.items.values()]).values()}
    got = {key: (pk, metadata) for key, (pk, _, metadata) in phone.rows.items()}
    assert got == shop.expected()
    assert all(code == stored[key].code for key, (_, code, _) in phone.rows.items())
