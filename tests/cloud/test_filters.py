"""Filters through the wire: only what passes is answered, always as much as there is, and changes count at once."""

import json
from pathlib import Path

import pytest
from support.tiny_bundle import picture

from sightline_edge import Client, Options, Outcome
from sightline_shared.cli import main
from sightline_shared.errors import FilterInvalid

COLOURS = ("red", "green", "blue")


@pytest.fixture
def shop(start):
    """Items 0 to 11, in three colours, every other one available."""
    service = start()
    for number in range(12):
        about = {"colour": COLOURS[number % 3], "available": number % 2 == 0, "title": f"Item {number}"}
        assert service.add(number, **about).status_code == 200
    return service


def found(service, number: int, where: dict | None, k: int = 20) -> list[str]:
    with Client(service.url, api_key=service.key, device=service.device, options=Options(k=k)) as client:
        return [match.id for match in client.search(picture(number), where=where).matches]


def test_only_items_that_pass_are_found_and_all_of_them(shop) -> None:
    assert found(shop, 4, {"colour": "green"})[0] == "item/4"
    assert sorted(found(shop, 4, {"colour": "green"})) == ["item/10", "item/4"]
    assert sorted(found(shop, 6, {"colour": ["red", "green"]})) == ["item/0", "item/10", "item/4", "item/6"]
    assert sorted(found(shop, 6, {"colour": ["red", "blue"], "available": True}, k=2)) == sorted(
        found(shop, 6, {"colour": ["red", "blue"], "available": True})[:2]
    )


def test_a_filter_that_nothing_passes_says_so(shop) -> None:
    with shop.client() as client:
        answer = client.search(picture(4), where={"colour": "purple"})
    assert (answer.outcome, answer.matches, answer.reasons) == (
        Outcome.NOT_FOUND,
        (),
        ("filter_passes_nothing: no item passes the filter",),
    )


def test_kinds_do_not_meet_over_the_wire(shop) -> None:
    assert found(shop, 4, {"available": 1}) == [] and found(shop, 4, {"available": "true"}) == []
    assert len(found(shop, 4, {"available": True})) == 6


def test_a_key_that_is_not_kept_is_refused_with_those_that_are(shop) -> None:
    with shop.client() as client, pytest.raises(FilterInvalid, match=r"category.*colour"):
        client.search(picture(4), where={"title": "Item 4"})


def test_what_is_sold_out_is_not_found_and_a_change_counts_at_once(shop) -> None:
    assert "item/3" not in found(shop, 3, None)
    with shop.http() as http:
        changed = http.patch("/v1/items/item/3", json={"metadata": {"available": True, "price": 9.5}})
        assert changed.json() == {
            "id": "item/3",
            "metadata": {"colour": "red", "available": True, "title": "Item 3", "price": 9.5},
        }
        assert found(shop, 3, None)[0] == "item/3" == found(shop, 3, {"colour": "red", "available": True})[0]
        assert http.patch("/v1/items/item/3", json={"metadata": {"colour": "blue", "title": None}}).status_code == 200
        assert "item/3" not in found(shop, 3, {"colour": "red"}) and "item/3" in found(shop, 3, {"colour": "blue"})
        assert http.get("/v1/items/item/3").json()["metadata"] == {"colour": "blue", "available": True, "price": 9.5}
        assert http.patch("/v1/items/item/3", json={"metadata": {"available": False}}).status_code == 200
    assert "item/3" not in found(shop, 3, None) + found(shop, 3, {"colour": "blue"})


SPOILING = [
    (b"", "JSON"),
    (b"{", "JSON"),
    (b"[" * 20_000, "JSON"),
    (b"[]", "at least one value"),
    (b"{}", "at least one value"),
    (b'{"metadata": {}}', "at least one value"),
    (b'{"metadata": {"a": []}}', "scalars"),
    (b'{"metadata": {"a": {"b": 1}}}', "scalars"),
    (b'{"metadata": {"a": NaN}}', "finite"),
    (b'{"metadata": {"a": 1e999}}', "finite"),
    (b'{"metadata": {"a": 99999999999999999999}}', "msgpack"),
    (b'{"metadata": {"a": "\\ud800"}}', "msgpack"),
    (b'{"metadata": {"a": "%s"}}' % (b"x" * 4200), "4096 bytes"),
]


@pytest.mark.parametrize("keys", [("colour", "available"), (), ("archived",)])
def test_an_archived_item_answers_nobody_whatever_may_be_filtered_on_and_comes_back_when_it_is_not(start, keys) -> None:
    service = start(filter_keys=keys)
    for number in range(3):
        service.add(number)
    assert found(service, 1, None)[0] == "item/1"
    with service.http() as http:
        for archived, there in ((True, False), (False, True), (True, False), (None, True), (1, True), ("true", True)):
            body = {"metadata": {"archived": archived, "note": "x"}}
            assert http.patch("/v1/items/item/1", json=body).status_code == 200
            assert ("item/1" in found(service, 1, None)) is there, archived
        http.patch("/v1/items/item/1", json={"metadata": {"archived": True}})
        assert http.get("/v1/items/item/1").json()["metadata"]["archived"] is True, "it is kept, and can be looked at"
    service.add(1, archived=True)  # added again, it is what it says
    assert "item/1" not in found(service, 1, None)


def test_an_item_that_its_index_does_not_know_to_be_archived_yet_does_not_answer_either(service, monkeypatch) -> None:
    """An index that was built before archived items were left out, or that another process has overtaken."""
    monkeypatch.setattr(service.engine.primary.indexes, "catch_up", lambda: 0)
    with service.http() as http:
        assert http.patch("/v1/items/item/3", json={"metadata": {"archived": True}}).status_code == 200
    got = found(service, 4, None)
    assert got[0] == "item/4" and "item/3" not in got and len(got) == 9


def test_a_change_that_would_spoil_the_item_is_refused_and_changes_nothing(shop) -> None:
    with shop.http() as http:
        before = http.get("/v1/items/item/4").json()
        for body, said in SPOILING:
            refused = http.patch("/v1/items/item/4", content=body)
            assert refused.status_code == 400 and said in refused.json()["message"], body[:80]
        assert http.get("/v1/items/item/4").json() == before


def test_changes_need_the_scope_the_tenant_and_the_item(shop) -> None:
    change = {"metadata": {"price": 1}}
    reader, other = shop.new_key("reader", "default", "search"), shop.new_key("other", "shop-2", "search", "write")
    with shop.http(reader) as http:
        assert http.patch("/v1/items/item/4", json=change).json()["code"] == "E_SCOPE_MISSING"
    with shop.http(other) as http:
        assert http.patch("/v1/items/item/4", json=change).status_code == 404
    with shop.http() as http:
        assert http.patch("/v1/items/nowhere", json=change).json()["code"] == "E_ITEM_NOT_FOUND"
        assert http.patch("/v1/items/item/4", content=b"x" * 40_000).status_code == 413
        assert "price" not in http.get("/v1/items/item/4").json()["metadata"]


def test_the_command_line_asks_with_a_filter(shop, tiny_folder: Path, tmp_path: Path, capsys) -> None:
    photo = tmp_path / "asked.png"
    picture(4).save(photo)
    words = ["query", str(photo), "--url", shop.url, "--api-key", shop.key, "--bundle", str(tiny_folder), "--json"]
    assert main([*words, "--where", "colour=green", "--where", "colour=red", "--where", "available=true"]) == 0
    (answer,) = json.loads(capsys.readouterr().out)["answers"]
    assert sorted(match["id"] for match in answer["matches"]) == ["item/0", "item/10", "item/4", "item/6"]
    assert main([*words, "--where", "title=x"]) == 1
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "E_FILTER_INVALID"
