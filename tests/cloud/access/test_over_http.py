"""Limits, ports and blocked pictures, as a caller meets them."""

import json
from pathlib import Path

import httpx
import msgpack
import numpy as np
import pytest
from PIL import Image, ImageEnhance
from support.asking import answer, post, query
from support.service import Service, post_item
from support.tiny_bundle import jpeg, picture

from sightline_cloud.catalog.backend import WouldWait
from sightline_edge import Client
from sightline_shared.cli import main
from sightline_shared.errors import ImageBlocked, OverKeyLimit, RateLimited


def code_of(response: httpx.Response) -> str:
    packed = "msgpack" in response.headers["content-type"]
    return (msgpack.unpackb(response.content) if packed else response.json())["code"]


@pytest.fixture
def sightline(tmp_path: Path, tiny_folder: Path, capsys):
    """Runs one command on the service's folder, beside it."""

    def run(*words: str) -> dict:
        status = main([*words, "--data", str(tmp_path / "data"), "--bundle", str(tiny_folder), "--json"])
        got = json.loads(capsys.readouterr().out)
        assert status == 0, got
        return got

    return run


def test_over_the_rate_is_429_with_the_seconds_to_wait_and_the_sdk_says_so(service: Service, sightline) -> None:
    key = service.new_key("slow")
    sightline("key", "limit", "slow", "--per-second", "0.01", "--burst", "2")
    body = query(service, 1)
    assert [post(service, body, key).status_code for _ in range(2)] == [200, 200]
    refused = post(service, body, key)
    assert (refused.status_code, code_of(refused)) == (429, "E_RATE_LIMITED")
    assert 90 <= int(refused.headers["retry-after"]) <= 100
    with service.client(key) as client, pytest.raises(RateLimited) as caught:
        client.search(picture(1))
    assert caught.value.retry_after_s is not None and caught.value.retry_after_s >= 90
    assert post(service, body).status_code == 200, "another key is not held up"
    sightline("key", "limit", "slow")
    assert post(service, body, key).status_code == 200, "in force at once"


def test_a_query_over_the_keys_caps_is_refused_for_good(service: Service) -> None:
    key = service.new_key("small")
    service.engine.keys.limit("small", {"max_k": 3, "max_codes": 1})
    assert post(service, query(service, 1, k=3), key).status_code == 200
    for body in (query(service, 1, k=4), query(service, 1, 2, k=1)):
        refused = post(service, body, key)
        assert (refused.status_code, code_of(refused)) == (403, "E_OVER_KEY_LIMIT")
        assert "retry-after" not in refused.headers
    with Client(service.url, api_key=key, device=service.device) as client, pytest.raises(OverKeyLimit):
        client.search(picture(1))


def test_uploads_use_the_budget_up_sooner_than_queries(service: Service) -> None:
    key = service.new_key("importer")
    service.engine.keys.limit("importer", {"cost_per_minute": 45})
    assert [service.add(50 + n, key).status_code for n in range(3)] == [200, 200, 429]
    assert service.engine.store.counts() == {"default": 12}


def test_wrong_keys_in_a_row_are_cut_off_and_the_good_one_goes_on(start) -> None:
    service = start(failed_keys_per_minute=5)
    assert post(service, b"").status_code == 400  # now it is known
    statuses = [post(service, b"", f"sk_{number}").status_code for number in range(8)]
    assert statuses == [401] * 5 + [429] * 3
    last = post(service, b"", "sk_again")
    assert code_of(last) == "E_RATE_LIMITED" and int(last.headers["retry-after"]) >= 1
    assert post(service, b"").status_code == 400


def test_a_rotated_keys_secrets_both_open_the_running_service(service: Service, sightline) -> None:
    old = service.new_key("app")
    new = sightline("key", "rotate", "app", "--grace-hours", "1")["key"]
    assert {post(service, query(service, 1), key).status_code for key in (old, new)} == {200}
    third = sightline("key", "rotate", "app", "--grace-hours", "0")["key"]
    assert [post(service, query(service, 1), key).status_code for key in (old, new, third)] == [401, 401, 200]


def test_a_key_says_when_it_was_last_used(service: Service, sightline, start) -> None:
    service.new_key("unused")
    post(service, query(service, 1))
    start.stop()
    used = {row["name"]: row["used"] for row in sightline("key", "list")["keys"]}
    assert used["unused"] is None and used["test0"].endswith("+00:00")


def test_the_public_port_knows_nothing_of_the_operators(service: Service) -> None:
    operator = service.new_key("operator", "default", "search", "admin")
    with service.http(operator) as public, service.operator(operator) as inside:
        for path in ("/v1/admin/stats", "/v1/admin/"):
            assert public.get(path).status_code == 404
        assert public.post("/v1/admin/erase", json={"ids": ["item/1"]}).status_code == 404
        assert "/v1/admin" not in public.get("/openapi.json").text
        assert inside.get("/v1/admin/stats").status_code == 200
        assert inside.get("/healthz").json() == {"ok": True}
        assert inside.post("/v1/search", content=query(service, 1)).status_code == 404
        assert inside.get("/v1/items/item/1").status_code == 404
        # The port of the socket counts, not what the caller says it is.
        spoofed = {"host": httpx.URL(service.admin_url).netloc.decode(), "x-forwarded-port": "8766"}
        assert public.get("/v1/admin/stats", headers=spoofed).status_code == 404
    assert service.engine.store.counts() == {"default": 10}


def test_operators_come_in_on_loopback_unless_the_settings_say_otherwise(service: Service) -> None:
    assert service.engine.settings.admin_host == "127.0.0.1"
    assert service.admin_url.startswith("http://127.0.0.1:") and service.admin_url != service.url


def test_a_command_that_is_given_the_public_port_is_told_which_one_to_take(service: Service, capsys) -> None:
    key = service.new_key("operator", "default", "admin")
    assert main(["index", "stats", "--url", service.url, "--api-key", key, "--json"]) == 1
    error = json.loads(capsys.readouterr().out)["error"]
    assert "operators' port" in error["message"] and "sightline serve" in error["hint"]


def test_the_operators_stats_show_what_was_refused_and_how_keys_are_used(service: Service) -> None:
    operator = service.new_key("operator", "default", "admin")
    service.engine.keys.limit("test0", {"per_second": 0.01, "burst": 1})
    post(service, query(service, 1))
    post(service, query(service, 1))
    with service.operator(operator) as http:
        stats = http.get("/v1/admin/stats").json()
    assert stats["refused"]["requests"] == 1
    assert stats["scraping"]["suspected"] == 0 and stats["scraping"]["keys"]["test0"]["queries"] == 1


def copies(original: Image.Image) -> dict[str, bytes]:
    """The same picture, changed as re-uploads are."""
    small = original.resize((original.width // 2, original.height // 2), Image.Resampling.BILINEAR)
    noisy = np.asarray(original, np.int16) + np.random.default_rng(0).integers(
        -6, 7, (original.height, original.width, 3)
    )
    return {
        "same": jpeg(original),
        "small": jpeg(small),
        "brighter": jpeg(ImageEnhance.Brightness(original).enhance(1.1)),
        "noisy": jpeg(Image.fromarray(noisy.clip(0, 255).astype(np.uint8))),
    }


def test_a_blocked_picture_and_its_copies_are_refused_and_others_are_not(service: Service, sightline, tmp_path) -> None:
    picture(77).save(tmp_path / "bad.png")
    ((entry,),) = sightline("block", "add", str(tmp_path / "bad.png")).values()
    assert entry["new"] and entry["label"] == "bad.png"
    with service.http() as http:
        for name, image in copies(picture(77)).items():
            refused = post_item(http, name, image, {})
            assert (refused.status_code, code_of(refused)) == (403, "E_IMAGE_BLOCKED"), name
            assert entry["hash"] not in refused.text and "bad.png" not in refused.text
    assert [service.add(200 + number).status_code for number in range(20)] == [200] * 20
    assert service.engine.store.counts() == {"default": 30}
    ((listed,),) = sightline("block", "list").values()
    assert listed["hash"] == entry["hash"] and "bad" in listed["label"]
    assert sightline("block", "add", "--hash", entry["hash"])["blocked"][0]["new"] is False
    assert sightline("block", "remove", str(listed["number"]))["removed"] == [listed["number"]]
    assert service.add(77).status_code == 200


def test_a_batch_leaves_blocked_pictures_out_and_says_so(sightline, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(4):
        picture(number).save(photos / f"{number}.png")
    sightline("block", "add", str(photos / "2.png"), "--label", "case 17")
    report = sightline("index", "add", str(photos))
    assert (report["added"], report["skipped"]) == (3, 1)
    assert report["problems"][0]["code"] == "E_IMAGE_BLOCKED" and "2.png" in report["problems"][0]["path"]


def test_an_embedded_ingest_is_refused_by_the_same_error(service: Service) -> None:
    from sightline_cloud.ingest.blocked import hash_of
    from sightline_shared.preprocess import load_image

    service.engine.blocked.add(hash_of(load_image(jpeg(picture(9)))), "nine")
    with pytest.raises(ImageBlocked):
        service.engine.ingest.add_one("default", "nine", jpeg(picture(9)), {})


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["add"], "E_CONFIG_INVALID"),
        (["add", "--hash", "xyz"], "E_CONFIG_INVALID"),
        (["add", "--hash", "0" * 15], "E_CONFIG_INVALID"),
        (["add", "--hash", "0" * 16], "E_CONFIG_INVALID"),
        (["add", "--hash", "f" * 16], "E_CONFIG_INVALID"),
        (["add", "missing.jpg"], "E_IMAGE_UNREADABLE"),
    ],
)
def test_what_cannot_be_blocked_is_named(
    words: list[str], code: str, tmp_path: Path, tiny_folder: Path, capsys
) -> None:
    assert main(["block", *words, "--data", str(tmp_path / "d"), "--bundle", str(tiny_folder), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["error"]["code"] == code


def test_a_key_is_checked_in_a_thread_when_the_catalogue_cannot_be_asked_at_once(service: Service, monkeypatch) -> None:
    asked: list[str] = []

    def busy(text: str, values: object = ()) -> None:
        asked.append(text)
        raise WouldWait

    monkeypatch.setattr(service.engine.database, "ask_now", busy)
    body = query(service, 4)
    assert post(service, body).status_code == 200
    assert (post(service, body, "sk_wrong").status_code, len(asked)) == (401, 2)
    key = service.new_key("limited")
    service.engine.keys.limit("limited", {"per_second": 0.01, "burst": 2})
    statuses = [post(service, body, key).status_code for _ in range(3)]
    assert statuses == [200, 200, 429], "each is counted once, although it was asked for twice"


def test_a_key_that_another_process_revokes_is_refused_by_the_very_next_request(service: Service, sightline) -> None:
    key, body = service.new_key("short-lived"), query(service, 4)
    assert [post(service, body, key).status_code for _ in range(3)] == [200, 200, 200]
    sightline("key", "revoke", "short-lived")
    assert post(service, body, key).status_code == 401


def test_what_another_process_changes_of_an_item_is_in_the_very_next_answer(service: Service, sightline) -> None:
    body = query(service, 4)
    assert [answer(service, body).matches[0].id for _ in range(2)] == ["item/4", "item/4"]
    sightline("index", "remove", "item/4")
    assert "item/4" not in [match.id for match in answer(service, body).matches]
