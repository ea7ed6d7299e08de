"""Two tenants, every endpoint: whatever one of them sends, no byte of the other's comes back, and nothing of it changes."""

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.asking import query
from support.endpoints import Endpoint, endpoints
from support.service import Service, post_item
from support.tiny_bundle import jpeg, picture

from sightline_cloud.embedded import EmbeddedService
from sightline_cloud.settings import Settings
from sightline_edge import Device
from sightline_shared.protocol import unpack_answer
from sightline_shared.where import Where

SCOPES = ("search", "rerank", "write", "admin")
MINE, THEIRS = "shop-mine", "shop-theirs"
# Which items each has: pictures of its own, and one id that both have.
NUMBERS = {MINE: range(6), THEIRS: range(100, 106)}
BOTH = "both/1"


@dataclass
class Shop:
    """One tenant: its key, and what of it must never reach the other."""

    tenant: str
    key: str
    ids: list[str]
    secrets: list[bytes] = field(default_factory=list)


class Mall:
    """The service with both shops in it; not a dataclass, which hypothesis would print with all that is in it."""

    def __init__(self, service: Service, mine: Shop, theirs: Shop) -> None:
        self.service, self.mine, self.theirs = service, mine, theirs
        self.sent: set[bytes] = set()

    def http(self, door: str, key: str) -> httpx.Client:
        return self.service.operator(key) if door == "admin" else self.service.http(key)


def marker(tenant: str, number: int) -> str:
    return f"{tenant}-secret-{number:04d}"


def fill(service: Service, tenant: str) -> Shop:
    key = service.engine.keys.add(f"key-of-{tenant}", tenant=tenant, scopes=SCOPES)
    shop = Shop(tenant, key, [BOTH])
    with service.http(key) as http:
        for number in NUMBERS[tenant]:
            item_id = BOTH if number == NUMBERS[tenant][0] else f"{tenant}/{number}"
            shop.ids.append(item_id)
            metadata = {"title": marker(tenant, number), "category": f"category-of-{tenant}", "price": number + 0.25}
            assert post_item(http, item_id, jpeg(picture(number)), metadata).status_code == 200
            thumbnail = http.get(f"/v1/items/{item_id}/thumbnail").content
            # The middle of a thumbnail's coded pixels: no two pictures share so much of it.
            shop.secrets += [marker(tenant, number).encode(), thumbnail[len(thumbnail) // 2 :][:40]]
            shop.secrets += [item_id.encode()] if item_id != BOTH else []
    shop.secrets += [tenant.encode(), f"key-of-{tenant}".encode(), f"category-of-{tenant}".encode(), key.encode()]
    generation = service.engine.primary.key
    pks = [pk for (pk,) in service.engine.database.ask("SELECT pk FROM items WHERE tenant = ?", (tenant,))]
    shop.secrets += [item.code for item in service.engine.store.hydrate(tenant, pks, generation).values()]
    table = service.engine.database.generation().table
    rows = service.engine.database.ask(
        f"SELECT vector FROM {table} own JOIN items ON items.pk = own.pk WHERE tenant = ?", (tenant,)
    )
    shop.secrets += [vector[:16] for (vector,) in rows]
    return shop


@pytest.fixture(scope="module")
def mall(tiny, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mall]:
    folder = tmp_path_factory.mktemp("mall")
    # Neither limits nor shedding: what is refused for its number would prove nothing.
    running = EmbeddedService(
        Settings(data_dir=folder, port=0, key_per_second=0, key_cost_per_minute=0, failed_keys_per_minute=0), tiny
    )
    with running:
        service = Service(running.url, running.engine, Device.load(tiny), "", running.admin_url)
        yield Mall(service, fill(service, MINE), fill(service, THEIRS))


@dataclass(frozen=True)
class Sent:
    """One request; `asked`: what a search is made of, (numbers, k, filter, flipped bytes); `added`: an item, likewise."""

    door: str
    method: str
    path: str
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    asked: tuple[Any, ...] = ()
    added: tuple[Any, ...] = ()

    def bytes_for(self, service: Service) -> bytes:
        if self.added:
            item_id, number, metadata = self.added
            return msgpack.packb({"id": item_id, "image": jpeg(picture(number)), "metadata": metadata})
        if not self.asked:
            return self.body
        numbers, k, where, flips = self.asked
        body = bytearray(query(service, *numbers, k=k, where=Where.of(where)))
        for at, value in flips:
            body[at % len(body)] = value
        return bytes(body)


IDS = [BOTH, *(f"{tenant}/{number}" for tenant, numbers in NUMBERS.items() for number in numbers[1:])]
WILD = ["..", "../admin/stats", f"{THEIRS}/../{MINE}", "%2e%2e/x", "' OR 1=1 --", "a\nb"]
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)
item_ids = st.sampled_from([*IDS, *IDS, *WILD]) | texts
numbers = st.sampled_from([*NUMBERS[MINE], *NUMBERS[THEIRS], 999])
values = st.sampled_from([f"category-of-{THEIRS}", f"category-of-{MINE}", 100.25, True]) | texts
filters = st.dictionaries(
    st.sampled_from(["category", "brand", "title"]), st.lists(values, min_size=1, max_size=3), max_size=2
)
scalars = texts | st.booleans() | st.integers(-(2**60), 2**60)
bodies = st.dictionaries(texts, scalars, max_size=3)


def escaped(text: str) -> str:
    return quote(text, safe="/")


searches = st.tuples(
    st.lists(numbers, min_size=1, max_size=4),
    st.integers(1, 50),
    st.just({}) | filters,
    st.lists(st.tuples(st.integers(0, 2047), st.integers(0, 255)), max_size=2),
).flatmap(
    lambda asked: st.sampled_from(["", "de", "../x", THEIRS]).map(
        lambda language: Sent("public", "POST", "/v1/search", headers=(("accept-language", language),), asked=asked)
    )
)
# Never a picture of the other's.
additions = st.tuples(item_ids, st.integers(200, 260), bodies).map(
    lambda drawn: Sent("public", "POST", "/v1/items", added=drawn)
)
changes = st.tuples(item_ids, st.dictionaries(texts, scalars | st.none(), max_size=3)).map(
    lambda drawn: Sent(
        "public",
        "PATCH",
        f"/v1/items/{escaped(drawn[0])}",
        json.dumps({"metadata": drawn[1], "tenant": THEIRS}).encode(),
    )
)
pockets = st.tuples(st.sampled_from(["ours", "00" * 8, THEIRS]), st.sampled_from(["", "1", THEIRS]) | texts).map(
    lambda drawn: Sent("public", "GET", f"/v1/pocket?pairing={drawn[0]}&have={escaped(drawn[1])}&tenant={THEIRS}")
)
erasures = st.lists(item_ids, max_size=3).map(
    lambda ids: Sent("admin", "POST", "/v1/admin/erase", json.dumps({"ids": ids, "tenant": THEIRS}).encode())
)


def on_item(method: str, tail: str = "") -> st.SearchStrategy[Sent]:
    return item_ids.map(lambda item_id: Sent("public", method, f"/v1/items/{escaped(item_id)}{tail}"))


def plain(door: str, method: str, path: str) -> st.SearchStrategy[Sent]:
    return st.sampled_from(["", f"?tenant={THEIRS}"]).map(lambda more: Sent(door, method, path + more))


ITEM = "/v1/items/{item_id:path}"
PUBLIC: dict[Endpoint, st.SearchStrategy[Sent]] = {
    ("POST", "/v1/search"): searches,
    ("POST", "/v1/items"): additions,
    ("GET", ITEM): on_item("GET"),
    ("GET", f"{ITEM}/thumbnail"): on_item("GET", "/thumbnail"),
    ("PATCH", ITEM): changes,
    ("DELETE", ITEM): on_item("DELETE"),
    ("GET", "/v1/pocket"): pockets,
}
KEYLESS = ("/healthz", "/readyz", "/v1/version", "/openapi.json", "/docs", "/docs/oauth2-redirect", "/redoc")
PUBLIC |= {("GET", path): plain("public", "GET", path) for path in KEYLESS}
ADMIN: dict[Endpoint, st.SearchStrategy[Sent]] = {("POST", "/v1/admin/erase"): erasures}
ADMIN |= {
    ("POST", f"/v1/admin/{verb}"): plain("admin", "POST", f"/v1/admin/{verb}")
    for verb in ("build", "compact", "promote", "rollback", "verify")
}
ADMIN |= {("GET", path): plain("admin", "GET", path) for path in ("/v1/admin/stats", *KEYLESS)}
# Those that take something in more often than the pages that are always the same.
TELLING = [
    searches,
    additions,
    changes,
    pockets,
    erasures,
    on_item("GET"),
    on_item("GET", "/thumbnail"),
    on_item("DELETE"),
]
of_any_kind = st.sampled_from([*TELLING, *TELLING, *PUBLIC.values(), *ADMIN.values()]).flatmap(lambda kind: kind)
# Figures of the whole process, for whoever runs it: not a tenant's page, and not at the public port.
PROCESS = {("GET", "/metrics")}


def test_every_endpoint_is_covered_here(tiny, tmp_path: Path) -> None:
    public, admin = endpoints(tiny, tmp_path / "data")
    assert public == set(PUBLIC)
    assert admin - PROCESS == set(ADMIN)


def state_of(service: Service, tenant: str) -> list[tuple[object, ...]]:
    """Everything that the catalogue has of a tenant, and how much of it the index finds."""
    table = service.engine.database.generation().table
    rows = service.engine.database.ask(
        "SELECT id, metadata, width, items.crc, jpeg, vector, code FROM items JOIN thumbnails t ON t.pk = items.pk "
        f"JOIN {table} own ON own.pk = items.pk WHERE tenant = ? ORDER BY id",
        (tenant,),
    )
    live = service.engine.primary.indexes.stats()[tenant]["vectors"]
    return [*map(tuple, rows), (live,)]


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(requests=st.lists(of_any_kind, min_size=1, max_size=4))
def test_nothing_of_the_others_comes_back_and_nothing_of_it_changes(mall: Mall, requests: list[Sent]) -> None:
    before = state_of(mall.service, THEIRS)
    for sent in requests:
        ask_and_look(mall, sent)
    assert state_of(mall.service, THEIRS) == before


def test_every_item_of_the_others_is_asked_for_in_every_way(mall: Mall) -> None:
    before = state_of(mall.service, THEIRS)
    theirs = [item_id for item_id in IDS if item_id in mall.theirs.ids]
    for item_id in theirs:
        path = f"/v1/items/{escaped(item_id)}"
        for method, tail in (("GET", ""), ("GET", "/thumbnail"), ("PATCH", ""), ("DELETE", "")):
            body = json.dumps({"metadata": {"note": "mine now"}}).encode() if method == "PATCH" else b""
            ask_and_look(mall, Sent("public", method, path + tail, body))
    for number in NUMBERS[THEIRS]:
        for where in ({}, {"category": [f"category-of-{THEIRS}"]}):
            ask_and_look(mall, Sent("public", "POST", "/v1/search", asked=((number,), 50, where, [])))
    ask_and_look(mall, Sent("public", "POST", "/v1/search", asked=(tuple(NUMBERS[THEIRS]), 50, {}, [])))
    ask_and_look(mall, Sent("public", "GET", "/v1/pocket?pairing=ours"))
    ask_and_look(mall, Sent("admin", "POST", "/v1/admin/erase", json.dumps({"ids": theirs}).encode()))
    for item_id in theirs:  # the same names, in the catalogue of one's own
        ask_and_look(mall, Sent("public", "POST", "/v1/items", added=(item_id, 270, {})))
    for (method, path), drawn in ADMIN.items():
        if drawn is not erasures:
            ask_and_look(mall, Sent("admin", method, path))
    assert state_of(mall.service, THEIRS) == before


def ask_and_look(mall: Mall, sent: Sent) -> None:
    """Send it with the one shop's key, and raise when anything of the other's comes back, or when the service fails."""
    path = sent.path.replace("pairing=ours", f"pairing={mall.service.device.bundle.pairing.id.hex()}")
    body = sent.bytes_for(mall.service)
    if sent.asked:  # what the other asked just before is no answer to this
        with mall.http("public", mall.theirs.key) as http:
            http.post(path, content=body)
    with mall.http(sent.door, mall.mine.key) as http:
        response = http.request(sent.method, path, content=body, headers=dict(sent.headers), timeout=60)
    assert response.status_code < 500, (sent, response.text)
    mall.sent.update(secret for secret in mall.theirs.secrets if secret in body or secret in decoded(path))
    heard = b"\n".join([response.content, *(value for pair in response.headers.raw for value in pair)])
    # An id that was asked for, or was added under that name, may be named again; what is behind it may not.
    leaks = [secret for secret in mall.theirs.secrets if secret in heard and secret not in mall.sent]
    assert leaks == [], (sent, response.content[:500])


def decoded(path: str) -> bytes:
    return httpx.URL("http://x" + path).path.encode() + path.encode()


def test_every_secret_can_be_seen_by_its_own_key(mall: Mall) -> None:
    """Or the test above would look for what never travels: all but vectors, key and tenant's own names are here."""
    shop, seen = mall.theirs, b""
    with mall.http("public", shop.key) as http:
        for item_id in dict.fromkeys(shop.ids):
            seen += http.get(f"/v1/items/{item_id}").content + http.get(f"/v1/items/{item_id}/thumbnail").content
            seen += item_id.encode()
        seen += http.post("/v1/search", content=query(mall.service, *NUMBERS[THEIRS], k=50)).content
    with mall.http("admin", shop.key) as http:
        seen += http.get("/v1/admin/stats").content
    hidden = [secret for secret in shop.secrets if secret not in seen]
    assert len(hidden) == len(NUMBERS[THEIRS]) + 1, "the vectors and the key itself, to nobody"


def test_no_float_vector_leaves_by_any_endpoint_for_any_key(mall: Mall) -> None:
    """Neither as stored nor as float32, whole or a quarter of it, in any answer to the tenant's own all-powerful key."""
    service, shop = mall.service, mall.theirs
    table = service.engine.database.generation().table
    rows = service.engine.database.ask(
        f"SELECT vector FROM {table} own JOIN items ON items.pk = own.pk WHERE tenant = ?", (shop.tenant,)
    )
    import numpy as np

    pieces = []
    for (vector,) in rows:
        halves = np.frombuffer(vector, "<f2")
        for raw in (vector, halves.astype("<f4").tobytes(), halves.astype("<f8").tobytes()):
            quarter = len(raw) // 4
            pieces += [raw[at : at + quarter] for at in range(0, len(raw), quarter)]
    pairing = service.device.bundle.pairing.id.hex()
    heard = b""
    with mall.http("public", shop.key) as http:
        heard += http.post("/v1/search", content=query(service, *NUMBERS[THEIRS], k=50)).content
        heard += http.get(f"/v1/pocket?pairing={pairing}").content
        for item_id in dict.fromkeys(shop.ids):
            heard += http.get(f"/v1/items/{item_id}").content + http.get(f"/v1/items/{item_id}/thumbnail").content
    with mall.http("admin", shop.key) as http:
        heard += http.get("/v1/admin/stats").content + http.post("/v1/admin/verify").content
        heard += http.get("/metrics").content
    assert len(heard) > 20_000
    assert [piece for piece in pieces if piece in heard] == []


def test_codes_of_items_go_to_keys_with_the_rerank_scope_alone(mall: Mall) -> None:
    service, shop = mall.service, mall.theirs
    plain_key = service.engine.keys.add("plain", tenant=shop.tenant, scopes=("search", "write", "admin"))
    codes = [secret for secret in shop.secrets if len(secret) == service.engine.primary.codec.code_size]
    body = query(service, 100, 101, k=50)
    with mall.http("public", plain_key) as http:
        heard = http.post("/v1/search", content=body).content
        assert http.get(f"/v1/pocket?pairing={service.device.bundle.pairing.id.hex()}").status_code == 403
        for item_id in dict.fromkeys(shop.ids):
            heard += http.get(f"/v1/items/{item_id}").content
    assert len(codes) == len(NUMBERS[THEIRS]) and [code for code in codes if code in heard] == []
    with mall.http("public", shop.key) as http:
        whole = http.post("/v1/search", content=body).content
    assert sum(code in whole for code in codes) == len(unpack_answer(whole).matches) > 0


def test_the_others_work_does_not_show_in_the_stats(mall: Mall) -> None:
    def stats() -> dict[str, object]:
        with mall.http("admin", mall.mine.key) as http:
            told = http.get("/v1/admin/stats").json()
        # The change log's position is the process's; so is what its housekeeping does.
        return {key: told[key] for key in ("tenant", "indexes", "scraping", "refused", "cache") if key in told}

    def without_change(told: dict[str, object]) -> str:
        lines = [{key: value for key, value in line.items() if key != "change"} for line in told["indexes"]]  # type: ignore[attr-defined]
        return json.dumps({**told, "indexes": lines})

    before = without_change(stats())
    mall.service.engine.keys.add("busy", tenant=THEIRS, scopes=SCOPES, limits={"per_second": 0.01, "burst": 3})
    busy = mall.service.engine.keys.rotate("busy", tenant=THEIRS)
    with mall.http("public", busy) as http:
        for _ in range(6):
            http.post("/v1/search", content=query(mall.service, 100))
    with mall.http("public", mall.theirs.key) as http:
        for number in NUMBERS[THEIRS]:
            http.post("/v1/search", content=query(mall.service, number))
    assert without_change(stats()) == before


def test_the_log_names_no_secret_of_either(mall: Mall, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "sightline"), mall.http("public", mall.mine.key) as http:
        logging.getLogger("sightline").addHandler(caplog.handler)
        try:
            http.post("/v1/search", content=query(mall.service, 1))
            http.get("/v1/items/none", headers={"authorization": "Bearer sk_wrong_secret"})
        finally:
            logging.getLogger("sightline").removeHandler(caplog.handler)
    told = " ".join(str(record.__dict__) for record in caplog.records)
    assert "request" in told and mall.mine.key not in told and "sk_wrong_secret" not in told
