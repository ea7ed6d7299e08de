"""The restricted answer over HTTP: listed sources of the own tenant only, no condition, no cache, nothing that sells."""

import dataclasses
import json
import logging
from collections.abc import Callable

import httpx
import pytest
from support.asking import query
from support.policies import policy, write_policy
from support.service import Service, post_item
from support.tiny_bundle import SENSITIVE, jpeg, picture

from sightline_cloud.policy.restricted import NOTHING, UNREADABLE, within
from sightline_cloud.policy.router import PolicyRouter
from sightline_shared.protocol import Answer, Decision, pack_query, unpack_answer, unpack_query
from sightline_shared.where import Where

KEYS = ("category", "available", "source")
LISTED, LAW = "health.example", "law.example"


@pytest.fixture
def clinic(start: Callable[..., Service], tmp_path) -> Service:
    """A service with shop items 0 to 4 and a policy that lists two sources."""
    write_policy(tmp_path / "data")
    begun = start(filter_keys=KEYS)
    for number in range(5):
        begun.add(number, title=f"Item {number}")
    return begun


def article(service: Service, item_id: str, view: int, key: str = "own", **metadata: object) -> None:
    """Add another view of the sensitive picture as an item."""
    with service.http(key) as http:
        assert post_item(http, item_id, jpeg(picture(SENSITIVE, view=view)), metadata).status_code == 200


def ask(
    service: Service, body: bytes | None = None, *, key: str = "own", language: str = "en", **changes: object
) -> Answer:
    """What the service answers; by default to the sensitive picture."""
    body = body or query(service, SENSITIVE, k=10)
    if changes:
        body = pack_query(dataclasses.replace(unpack_query(body), **changes))
    with service.http(key) as http:
        headers = {"content-type": "application/msgpack", "accept-language": language}
        response: httpx.Response = http.post("/v1/search", content=body, headers=headers)
    assert response.status_code == 200, response.text
    return unpack_answer(response.content)


def ids(answer: Answer) -> list[str]:
    return [match.id for match in answer.matches]


def test_only_listed_sources_answer_however_close_others_are(clinic) -> None:
    article(clinic, "leaflet", 1, source=LISTED, title="About skin", url="https://health.example/skin", locale="en")
    article(clinic, "cream", 2, source="shop", title="Cream", price=9.5)
    article(clinic, "unnamed", 3, title="No source")
    article(clinic, "odd", 4, source=True)
    got = ask(clinic)
    assert (got.decision, ids(got), got.partial) == (Decision.RESTRICTED, ["leaflet"], False)
    assert got.disclaimer == "No advice."
    assert got.versions["policy"] == policy().version and got.versions["bundle"] == "tiny 1"


def test_a_match_shows_what_an_article_says_of_itself_and_no_code(clinic) -> None:
    about = {"title": "About skin", "source": LISTED, "url": "https://health.example/skin", "locale": "en"}
    article(clinic, "leaflet", 1, **about, price=3, category="melanoma", stock=4, note="you have a rash")
    match = ask(clinic).matches[0]
    assert (dict(match.metadata), match.code) == (about, None)


def test_without_anything_authoritative_close_by_it_abstains_with_the_class_words(clinic) -> None:
    article(clinic, "cream", 1, source="shop")
    clinic.add(30, source=LISTED)  # a listed article about something else
    got = ask(clinic)
    assert (got.decision, got.matches) == (Decision.RESTRICTED, ())
    assert got.disclaimer == "Ask a doctor. No advice."
    assert got.reasons == ("the picture looks like a sensitive subject", NOTHING)


def test_the_words_come_in_the_language_of_the_request(clinic) -> None:
    assert ask(clinic, language="de-CH").disclaimer == "Fragen Sie in einer Praxis. Kein Rat."
    assert ask(clinic, language="xx").disclaimer == "Ask a doctor. No advice."


def test_text_and_device_restrict_a_picture_that_is_none(clinic) -> None:
    shop = query(clinic, 3)
    assert ask(clinic, shop).decision is Decision.FOUND and ask(clinic, shop).disclaimer == ""
    by_text, by_device = ask(clinic, shop, text="a gun"), ask(clinic, shop, sensitive_scores=(0.2,))
    assert by_text.decision is by_device.decision is Decision.RESTRICTED
    assert by_text.matches == by_device.matches == ()
    assert by_text.disclaimer == by_device.disclaimer.replace("Ask a doctor.", "No answer.") == "No answer. No advice."


def test_one_sensitive_crop_restricts_the_others_too(clinic) -> None:
    got = ask(clinic, query(clinic, 1, SENSITIVE, 2, k=10))
    assert (got.decision, got.matches) == (Decision.RESTRICTED, ())


def test_tenants_do_not_see_each_others_articles(clinic) -> None:
    other = clinic.new_key("other", "clinic-2")
    article(clinic, "mine", 1, source=LISTED)
    article(clinic, "theirs", 1, key=other, source=LISTED)
    assert ids(ask(clinic)) == ["mine"]
    assert ids(ask(clinic, key=other)) == ["theirs"]
    stranger = clinic.new_key("stranger", "clinic-3")
    assert ids(ask(clinic, key=stranger)) == []


def test_nothing_is_looked_up_in_the_cache_or_kept_there(clinic) -> None:
    article(clinic, "leaflet", 1, source=LISTED)
    before = clinic.engine.cache.stats()
    first, second = ask(clinic), ask(clinic)
    assert clinic.engine.cache.stats() == before
    assert "cache" not in second.stages_ms and "search" in second.stages_ms
    assert ids(first) == ids(second)


def test_the_order_is_the_cosines_whatever_would_sell(clinic) -> None:
    for view in range(1, 7):
        article(clinic, f"plain-{view}", view, source=LISTED if view % 2 else LAW, stock=0, price=99.0, updated=0)
    before = ask(clinic)
    scores = {match.id: match.score for match in before.matches}
    assert len(scores) == 6 and ids(before) == sorted(scores, key=lambda each: -scores[each])
    last = ids(before)[-1]
    with clinic.http() as http:
        # In stock, cheap, fresh, and a duplicate of nothing: all that ranking stages look at.
        body = {"metadata": {"stock": 1000, "price": 0.01, "updated": 4e9, "category": "thing"}}
        assert http.patch(f"/v1/items/{last}", json=body).status_code == 200
    after = ask(clinic)
    assert ids(after) == ids(before)
    assert not [stage for stage in after.stages_ms if stage.startswith("rank")]


def test_k_and_the_callers_own_filter_are_kept_to(clinic) -> None:
    for view in range(1, 5):
        article(clinic, f"leaflet-{view}", view, source=LISTED, category="skin" if view < 3 else "bones")
    article(clinic, "law", 5, source=LAW, category="skin")
    assert len(ask(clinic, k=2).matches) == 2
    assert set(ids(ask(clinic, where=Where.of({"category": "skin"})))) == {"leaflet-1", "leaflet-2", "law"}
    assert ids(ask(clinic, where=Where.of({"category": "skin", "source": LAW}))) == ["law"]
    assert ids(ask(clinic, where=Where.of({"source": "shop"}))) == []


def test_items_that_are_unavailable_or_gone_or_lost_their_source_do_not_answer(clinic) -> None:
    for view, name in enumerate(("gone", "away", "unlisted", "stays"), start=1):
        article(clinic, name, view, source=LISTED)
    with clinic.http() as http:
        http.delete("/v1/items/gone")
        http.patch("/v1/items/away", json={"metadata": {"available": False}})
        http.patch("/v1/items/unlisted", json={"metadata": {"source": "shop"}})
    assert ids(ask(clinic)) == ["stays"]


def test_a_source_that_the_index_does_not_keep_is_no_source(start, tmp_path) -> None:
    write_policy(tmp_path / "data")
    service = start(filter_keys=("category", "available"))
    article(service, "leaflet", 1, source=LISTED)
    got = ask(service)
    assert (got.decision, got.matches, got.disclaimer) == (Decision.RESTRICTED, (), "Ask a doctor. No advice.")
    assert "search" not in got.stages_ms


def test_a_service_that_cannot_read_its_policy_starts_and_answers_everything_restricted(start, tmp_path) -> None:
    write_policy(tmp_path / "data").write_text("owner = 1")
    service = start(filter_keys=KEYS)
    service.add(3, source=LISTED)
    got = ask(service, query(service, 3))
    assert (got.decision, got.matches, got.disclaimer) == (Decision.RESTRICTED, (), UNREADABLE)
    assert got.reasons[0] == "the policy could not be applied" and got.versions["policy"] == "none"
    assert "policy.toml: format: expected this key" in service.engine.policy.trouble


def test_a_head_that_breaks_while_the_service_runs_closes_it(clinic, monkeypatch) -> None:
    assert ask(clinic, query(clinic, 3)).decision is Decision.FOUND
    monkeypatch.setattr(
        "sightline_shared.heads.Sensitive.scores", lambda *arguments: (_ for _ in ()).throw(ValueError("broken"))
    )
    got = ask(clinic, query(clinic, 3))
    assert (got.decision, got.matches) == (Decision.RESTRICTED, ())


def test_a_shard_that_fails_makes_the_answer_partial(start, tmp_path, monkeypatch) -> None:
    write_policy(tmp_path / "data")
    service = start(filter_keys=KEYS, shards=2)
    for view in range(1, 7):
        article(service, f"leaflet-{view}", view, source=LISTED)
    whole = ask(service)
    assert len(whole.matches) == 6 and not whole.partial

    def fail(*arguments: object) -> None:
        raise RuntimeError("no disk")

    monkeypatch.setattr(service.engine.primary.indexes.shards[1], "search", fail)
    part = ask(service)
    assert part.partial and 0 < len(part.matches) < 6 and part.decision is Decision.RESTRICTED
    assert "shard 1 failed" in part.reasons and part.versions["shards"] == "1/2"


def test_the_log_has_the_versions_and_nothing_of_the_query(clinic, caplog) -> None:
    article(clinic, "leaflet", 1, source=LISTED)
    body = query(clinic, SENSITIVE)
    with caplog.at_level(logging.INFO, "sightline"):
        ask(clinic, body, text="my skin rash", sensitive_scores=(0.7231,))
    lines = [record for record in caplog.records if record.getMessage() == "restricted"]
    assert len(lines) == 1
    assert lines[0].fields == {
        "request_id": b"12345678".hex(),
        "tenant": "default",
        "certainty": "sensitive",
        "classes": ["medical"],
        "policy": policy().version,
        "bundle": "tiny 1",
        "matches": 1,
    }
    everything = json.dumps(
        [[record.getMessage(), record.__dict__.get("fields")] for record in caplog.records], default=str
    )
    code = unpack_query(body).codes[0]
    assert not [secret for secret in ("rash", "0.72", code.hex(), str(code)[2:-1]) if secret in everything]


def test_a_filter_narrows_and_never_widens_what_may_answer() -> None:
    own = Where.of({"category": "skin", "source": ["law.example", "shop"]})
    assert within(Where(), (LISTED,), KEYS) == Where.of({"source": LISTED})
    assert within(own, (LISTED, LAW), KEYS) == Where.of({"category": "skin", "source": LAW})
    assert within(own, (LISTED,), KEYS) is None
    assert within(Where(), (), KEYS) is None
    assert within(Where(), (LISTED,), ("category",)) is None
    # A truth value or a number is not the text that the policy lists.
    assert within(Where.of({"source": [True, 1]}), ("True", "1"), KEYS) is None


def test_the_router_is_the_engines_own(clinic) -> None:
    assert isinstance(clinic.engine.policy, PolicyRouter) and clinic.engine.policy.trouble == ""
